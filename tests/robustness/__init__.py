"""A program of attacks on a real server: `python -m tests.robustness --help`, or `make robustness`."""
