"""The gRPC service of Artemis."""

import os

# gRPC logs texts that callers send, as they are: they could write lines of this log, megabytes a second. It reads the
# variable when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
