"""The gRPC service of Artemis."""
