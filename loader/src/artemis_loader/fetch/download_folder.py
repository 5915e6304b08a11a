"""The folder of a load's downloads. Its name tells which load made it, so that the next one removes what was left."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from artemis_loader.feeds import Feed


@contextmanager
def download_folder(engine: Engine, feed: Feed, *, dry_run: bool) -> Iterator[Path]:
    """Lends an empty folder for downloads, and removes the folders of killed loads of the feed."""
    if not feed.remote:
        yield Path(tempfile.gettempdir())
        return
    where = Path(str(engine.url.database)).resolve() if engine.dialect.name == "sqlite" else repr(engine.url)
    key = hashlib.sha256(f"{where} {feed.name}".encode()).hexdigest()[:16]
    prefix = f"artemis-loader-{key}-"
    if not dry_run:  # a dry run holds no lock, and what is there may be in use
        for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        yield Path(folder)
