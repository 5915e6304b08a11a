"""Formats of results: tables for people, JSON and CSV for programs."""
