"""The open streams of clients. A server that stops ends them, or it would wait for them for the whole grace."""

import threading

import grpc


class OpenStreams:
    """A set of open streams. Threads may share it."""

    def __init__(self) -> None:
        self._contexts: set[grpc.ServicerContext] = set()
        self._lock = threading.Lock()

    def add(self, context: grpc.ServicerContext) -> None:
        """Remembers a stream until it ends."""
        with self._lock:
            self._contexts.add(context)
        if not context.add_callback(lambda: self._forget(context)):
            self._forget(context)  # it has ended already

    def end(self) -> None:
        """Cancels every stream."""
        with self._lock:
            contexts = list(self._contexts)
        for context in contexts:
            context.cancel()

    def _forget(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._contexts.discard(context)
