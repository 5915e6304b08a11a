"""The SQLite file that databases of tests are copies of: to migrate one takes longer than to start a server."""

import tempfile
from functools import cache
from pathlib import Path

from artemis_models import create_engine, upgrade


@cache
def migrated() -> bytes:
    """Returns a file that is empty but for its schema."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "artemis.db"
        engine = create_engine(f"sqlite:///{path}")
        upgrade(engine)
        engine.dispose()
        return path.read_bytes()
