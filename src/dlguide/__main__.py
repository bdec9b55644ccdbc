"""`python -m dlguide` is `dlguide`."""

from dlguide.cli import main

if __name__ == "__main__":
    main()
