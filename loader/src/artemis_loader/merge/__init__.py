"""Merging: from staged records to the tables that others read."""
