"""The server and all that a test can do to it. Its public methods are the commands that the other process sends."""

import base64
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from artemis_server.access import tokens
from artemis_server.app import Application
from artemis_server.commands.token import add
from artemis_server.db import times
from artemis_server.db.connection.database import Database
from artemis_server.pruning import Pruner
from artemis_server.settings import ROLES, Settings
from artemis_server.telemetry.worker import Telemetry

from artemis_testing.host import connections
from artemis_testing.host.clock import Clock
from artemis_testing.host.database import DatabaseFile
from artemis_testing.host.script import Fault, Kind, Script, ScriptedCall
from artemis_testing.host.statuses import status_of


class Host:
    """A real server on a free port of 127.0.0.1, with a database of its own."""

    def __init__(self, folder: Path, cache: Path | None, *, access: bool) -> None:
        """Starts the server, whose files are in `folder`. With `access`, callers need a token."""
        self._clock = Clock()
        times.clock = self._clock.nanoseconds
        self._file = DatabaseFile(folder, cache, self._clock)
        self.tokens = _make_tokens(folder / "tokens.toml") if access else {}
        """A token for each role; none if no caller needs one."""
        settings = Settings(
            command="serve",
            database_url=f"sqlite:///{self._file.path}",
            listen="127.0.0.1:0",
            metrics_listen="off",
            auth=("tokens",) if access else (),
            auth_tokens_file=folder / "tokens.toml" if access else None,
        )
        self._script = Script(lambda client_port: connections.cut(self.port, client_port))
        self._telemetry = Telemetry(settings)
        self._application = Application(
            settings,
            self._file.make_engine(),
            telemetry=self._telemetry,
            call_type=partial(ScriptedCall, self._script),
        )
        self._database = Database(self._file.make_engine())
        self._pruner = Pruner(self._database, settings.change_retention)
        self.port = self._application.start()

    def reset(self) -> None:
        """Makes everything as it was at the start. Calls and watches that are open end with UNAVAILABLE.

        Connections stay: a call that its client begins while the end of its connection is on the way would fail.
        """
        self._script.clear()
        if not self._script.end_calls(_RESET):
            connections.cut_all(self.port)
        self._script.forget_calls()
        self._clock.reset()
        self._file.reset()

    def freeze(self, at: int | None) -> int:
        """Stops the clock, and removes what is too old by then; returns the time in microseconds."""
        return self._prune(self._clock.freeze(at))

    def advance(self, microseconds: int) -> int:
        """Moves the clock, and removes what is too old by then; returns the time in microseconds."""
        return self._prune(self._clock.advance(microseconds))

    def now(self) -> int:
        """Returns the time in microseconds."""
        return self._clock.now()

    def fault(self, kind: str, calls: int, method: str, seconds: float = 0.0) -> None:
        """Adds a fault."""
        self._script.add(Fault(kind=Kind[kind], calls=calls, method=method, seconds=seconds))

    def fail(self, calls: int, method: str, status: dict[str, Any]) -> None:
        """Adds a fault that ends calls with a status. Raises ValueError if the server has no such status."""
        self._script.add(Fault(kind=Kind.FAIL, calls=calls, method=method, status=status_of(**status)))

    def clear_faults(self) -> None:
        """Forgets the faults that have not met a call."""
        self._script.clear()

    def disconnect(self) -> None:
        """Cuts all connections."""
        connections.cut_all(self.port)

    def expire_log(self) -> None:
        """Makes every resume token expire, and ends the watches that are open with that error."""
        self._file.expire_log()

    def calls(self) -> list[tuple[str, str, list[tuple[str, str]]]]:
        """Returns the method, the request in base64 and the metadata of each call. Binary metadata are in base64."""
        return [(each.method, _text(each.request), _texts(each.metadata)) for each in self._script.calls()]

    def flush_log(self) -> None:
        """Writes the lines of the log that wait."""
        self._telemetry.flush_log()

    def stop(self) -> None:
        """Ends the server."""
        self._application.stop(0)
        self._database.close()

    def _prune(self, now: int) -> int:
        self._pruner.prune()
        return now


_RESET = status_of("UNAVAILABLE", "SHUTTING_DOWN", "the test is over, and the server is reset", retry_after=0)


def _make_tokens(path: Path) -> dict[str, str]:
    """Makes a tokens file with a token for each role, and returns the tokens by role."""
    made = {role: tokens.new_token() for role in ROLES}
    for role, token in made.items():
        add(path, tokens.entry_text(token, role, role, datetime.now(UTC), None))
    return made


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _texts(metadata: tuple[tuple[str, str | bytes], ...]) -> list[tuple[str, str]]:
    return [(name, value if isinstance(value, str) else _text(value)) for name, value in metadata]
