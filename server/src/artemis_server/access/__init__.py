"""Access: who calls, and what callers may do."""
