"""Promise 7: the tests can fail. Each fault is planted in a copy of the project, and the right test must go red."""
