"""An independent check of recurrence rules and time zones: the answers of two other implementations, and ours."""
