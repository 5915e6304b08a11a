"""A search service: it answers from a full-text index of its own, which a mirror keeps in step with Artemis.

    python event_search.py 127.0.0.1:50051 index.db 8080
    curl 'http://127.0.0.1:8080/?q=compiler'

The index is a SQLite file. Started again, the service goes on where it was. It needs the list of all events only once,
and when it was away for longer than the server keeps changes.
"""

import json
import sqlite3
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from artemis_client import ArtemisClient, Event, EventMirror

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE VIRTUAL TABLE IF NOT EXISTS events USING fts5 (name, description, location, category);
CREATE TABLE IF NOT EXISTS mirror (position TEXT);
"""


class SearchIndex:
    """Keeps the words of events, and the position of the mirror, in one file. It is an `artemis_client.EventStore`."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._writer = sqlite3.connect(file, check_same_thread=False)  # from now on, the mirror's thread alone uses it
        self._writer.executescript(SCHEMA)

    def position(self) -> str | None:
        """Returns the position that was saved last."""
        row = self._writer.execute("SELECT position FROM mirror").fetchone()
        return row[0] if row else None

    def ids(self) -> Iterable[int]:
        """Returns the ids of all events."""
        return [event_id for (event_id,) in self._writer.execute("SELECT rowid FROM events")]

    def apply(self, changed: Sequence[Event], deleted: Sequence[int], position: str | None) -> None:
        """Changes the index and saves the position, in one transaction."""
        old = [(event_id,) for event_id in (*deleted, *(event.id for event in changed))]
        new = [(each.id, each.name, each.description, each.location, each.category) for each in changed]
        with self._writer:
            self._writer.executemany("DELETE FROM events WHERE rowid = ?", old)
            self._writer.executemany(
                "INSERT INTO events (rowid, name, description, location, category) VALUES (?, ?, ?, ?, ?)", new
            )
            self._writer.execute("DELETE FROM mirror")
            self._writer.execute("INSERT INTO mirror (position) VALUES (?)", (position,))

    def search(self, text: str) -> list[dict[str, object]]:
        """Returns the ids and names of the 20 events that fit these words best. Any thread may call it."""
        if not text.split():
            return []
        words = " ".join('"' + word.replace('"', '""') + '"' for word in text.split())
        with closing(sqlite3.connect(self._file)) as reader:
            rows = reader.execute(
                "SELECT rowid, name FROM events WHERE events MATCH ? ORDER BY rank, rowid LIMIT 20", (words,)
            )
            return [{"id": event_id, "name": name} for event_id, name in rows]


def handler_of(mirror: EventMirror[SearchIndex]) -> type[BaseHTTPRequestHandler]:
    """Returns what answers requests: `/?q=WORDS` with events, and `/health` with 503 while the index is not in step."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            if address.path == "/health":
                self._answer(200 if mirror.synced else 503, {"synced": mirror.synced})
            else:
                self._answer(200, mirror.events.search(parse_qs(address.query).get("q", [""])[0]))

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main(target: str, file: str, port: str) -> None:
    """Serves until the mirror ends, which raises its error, or Ctrl-C."""
    with (
        ArtemisClient(target) as client,
        EventMirror(client, SearchIndex(file)) as mirror,
        ThreadingHTTPServer(("127.0.0.1", int(port)), handler_of(mirror)) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"searching on http://127.0.0.1:{server.server_port}", flush=True)
        mirror.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
