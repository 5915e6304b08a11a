"""Tests of what `make build` has put into dist/, which runs them. `make test` does not."""
