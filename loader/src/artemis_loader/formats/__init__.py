"""Readers of the formats: each gives the rows of a file with the line or index where they are."""
