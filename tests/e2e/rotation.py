"""Certificates and tokens that change while callers call.

Every second there is a new certificate, and a new token in the place of the oldest one. `python -m tests.e2e.rotation
SECONDS` does that for longer than the tests.
"""

import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from artemis.v1.events_pb2 import ListEventsRequest
from artemis_server.access.tokens import entry_text, new_token
from cryptography import x509

from tests.certificates import DAY, Authority
from tests.e2e.samples import START
from tests.e2e.servers import PATIENCE, Server, serving
from tests.e2e.wire import METHODS

CALLERS = 2
LIST = METHODS[ListEventsRequest]


@dataclass
class Rotation:
    """A server whose certificate and tokens change."""

    folder: Path
    authority: Authority = field(default_factory=Authority)
    tokens: deque[str] = field(default_factory=lambda: deque(new_token() for _ in range(6)))
    """The oldest first, which the next change removes; callers use one that the server has had for two changes."""
    changes: int = 0

    def write(self) -> None:
        """Writes the files. The certificate is there a moment before its key, and each has an end of its own."""
        self.authority.server(ends=DAY + timedelta(minutes=self.changes)).write(self.folder, "server")
        new = self.folder / "new.toml"
        new.write_text("".join(entry_text(each, "caller", "reader", START, None) for each in self.tokens))
        new.chmod(0o600)
        new.rename(self.folder / "tokens.toml")

    @contextmanager
    def serving(self, *flags: str) -> Iterator[Server]:
        """Runs the server."""
        self.write()
        tls = ("--tls-cert", f"{self.folder}/server.crt", "--tls-key", f"{self.folder}/server.key")
        auth = ("--auth", "tokens", "--auth-tokens-file", f"{self.folder}/tokens.toml")
        with serving(self.folder / "artemis.db", *tls, *auth, *flags) as server:
            yield server

    def change(self) -> str:
        """Changes all, and returns the token that was removed."""
        self.tokens.append(new_token())
        removed = self.tokens.popleft()
        self.changes += 1
        self.write()
        return removed

    @property
    def expiry(self) -> float:
        """The time at which the certificate in the file expires, in seconds since 1970."""
        pem = (self.folder / "server.crt").read_bytes()
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()

    def wait_for(self, server: Server) -> None:
        """Waits until the server has taken as many changes."""
        for name in ("tokens", "certificate"):
            server.log.wait_for(rf"(?s:(.*the {name}: the new one is in use){{{self.changes}}})")

    def time_of_refusal(self, server: Server, token: str) -> float:
        """Returns how many seconds pass until a token is refused."""
        began = time.monotonic()
        with self.channel(server) as channel:
            while self.code(channel, token) is not grpc.StatusCode.UNAUTHENTICATED:
                assert time.monotonic() < began + PATIENCE
        return time.monotonic() - began

    def channel(self, server: Server) -> grpc.Channel:
        """Opens a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(server.target, self.authority.credentials(), options)

    @staticmethod
    def code(channel: grpc.Channel, token: str) -> grpc.StatusCode:
        """Returns the status of a call."""
        ask: Any = channel.unary_unary(LIST)
        call = ask.future(b"", metadata=(("authorization", f"Bearer {token}"),), timeout=PATIENCE)
        code: grpc.StatusCode = call.code()  # it waits
        return code


class Callers:
    """Threads that call. Half of them open a connection for each call, and half of them keep one."""

    def __init__(self, rotation: Rotation, server: Server) -> None:
        self._rotation = rotation
        self._server = server
        self._stopping = threading.Event()
        self.codes: dict[grpc.StatusCode, int] = {}
        self._threads = [threading.Thread(target=self._run, args=(number % 2 == 0,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> dict[grpc.StatusCode, int]:
        """Ends the threads and returns how many calls had each status."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.codes

    def _run(self, keeps: bool) -> None:
        while not self._stopping.is_set():
            with self._rotation.channel(self._server) as channel:
                self._call(channel)
                while keeps and not self._stopping.is_set():
                    self._call(channel)

    def _call(self, channel: grpc.Channel) -> None:
        code = self._rotation.code(channel, self._rotation.tokens[3])
        self.codes[code] = self.codes.get(code, 0) + 1


def main(seconds: int) -> None:
    """Changes all once a second, and prints what came of it."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        rotation = Rotation(Path(folder))
        with rotation.serving() as server:
            callers = Callers(rotation, server)
            began, refusals = time.monotonic(), []
            for number in range(seconds):
                time.sleep(max(0.0, began + number - time.monotonic()))
                refusals.append(pool.submit(rotation.time_of_refusal, server, rotation.change()))
            slowest = max(each.result() for each in refusals)
            print(f"{seconds} changes, calls: {callers.stop()}, a token was refused after {slowest:.2f} s at most")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))
