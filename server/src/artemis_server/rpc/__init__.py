"""Transport: a request in, a message out. Knows gRPC and no SQL."""
