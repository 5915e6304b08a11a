"""The address that Prometheus reads. Its socket is made once, and each worker answers on it.

So any worker that lives answers for all of them, and one that starts again needs no other process. It knows pages, and
nothing of what they say.
"""

import errno
import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

MAX_REQUESTS = 4
"""Requests that a worker answers at once. It closes the connection of one more."""
MAX_SILENCE = 2.0
"""Seconds that a request waits for the next bytes of its client."""
MAX_DURATION = 5.0
"""Seconds that a request may take: a client that sends a byte now and then would hold its place for hours."""
_POLL = 0.25
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)

log = logging.getLogger(__name__)


def listen(address: tuple[str, int], *, family: int) -> socket.socket:
    """Returns a socket that listens, and that processes may share. It raises OSError."""
    listening = socket.create_server(address, family=family, backlog=16)
    listening.setblocking(False)  # several workers see a new connection, and one gets it
    return listening


class Endpoint:
    """Answers requests for pages, by their paths, on a thread of its own."""

    def __init__(self, listening: socket.socket, pages: Mapping[str, Collector]) -> None:
        self._server = _Server(listening, {path: _page(collector) for path, collector in pages.items()})
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="metrics-endpoint", daemon=True
        )

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answers no further request. Other processes go on to listen."""
        self._server.shutdown()


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        connection.shutdown(socket.SHUT_RDWR)


def _page(collector: Collector) -> "Callable[..., Iterable[bytes]]":
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    app: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)
    return app


class _Handler(WSGIRequestHandler):
    timeout = MAX_SILENCE

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
        """Logs nothing: Prometheus asks every few seconds."""

    def get_stderr(self) -> io.StringIO:
        """Returns where the library writes the stack trace of each request that its client does not end well."""
        return io.StringIO()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listening: socket.socket, pages: "Mapping[str, Callable[..., Iterable[bytes]]]") -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()
        self._pages = pages
        self._free = threading.BoundedSemaphore(MAX_REQUESTS)
        self.set_app(self._answer)

    def get_request(self) -> Any:
        """Accepts a connection. While no more files may be open, it does not try that without a pause."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _TOO_MANY_FILES:
                time.sleep(_POLL)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers on a thread of its own, or closes the connection while MAX_REQUESTS are answered."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # there is no thread
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers a request in MAX_DURATION, and makes its place free."""
        end = threading.Timer(MAX_DURATION, _end, (request,))
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: the client is gone, or sends no HTTP."""

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        page = self._pages.get(environ.get("PATH_INFO", ""))
        if page is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [f"Here are {' and '.join(self._pages)}.\n".encode()]
        try:
            return page(environ, start_response)
        except Exception:  # the library fails for some headers
            log.exception("the metrics cannot be given")
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"The log has the cause.\n"]
