"""Watches of events, and mirrors that keep a copy of them in step."""
