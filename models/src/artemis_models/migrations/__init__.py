"""The migrations of the schema, and what they are made of: steps that may run beside writers, and waits for locks."""
