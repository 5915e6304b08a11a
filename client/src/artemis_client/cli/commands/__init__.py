"""The commands: each module builds those of one kind."""
