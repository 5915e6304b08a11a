"""Version 1 of the contract: `events_pb2`, `users_pb2` and their `_grpc` stubs."""
