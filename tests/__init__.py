"""What this project promises, as tests: run them with `make test`."""
