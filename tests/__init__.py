"""The tests of the workspace."""

import os

# Before grpc is imported: its handlers abort a child that is forked while threads are in calls, as tests do.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
