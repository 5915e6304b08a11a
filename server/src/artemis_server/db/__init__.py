"""Storage: functions that take the session first, and the database that lends it. Knows no gRPC."""
