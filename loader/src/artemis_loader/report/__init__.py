"""Reporting: what a load shows while it runs, what it did, and which records it rejected."""
