"""Fetching: from where a feed is to files on this machine."""
