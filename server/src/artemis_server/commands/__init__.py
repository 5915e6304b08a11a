"""Commands that need neither a server nor its log."""
