"""`python -m tests.robustness.next_release FOLDER COMMAND ...`: `artemis-server` with the migrations in a folder."""

import sys
from pathlib import Path

from artemis_models import revisions
from artemis_server.cli import main

if __name__ == "__main__":
    revisions.FOLDER = Path(sys.argv[1])
    revisions.migrations.cache_clear()  # this process may be a fork of one that has read the other folder
    sys.exit(main(sys.argv[2:]))
