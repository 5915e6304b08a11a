"""The hub sends what others read from the log to every watcher, on one thread.

It knows neither the database nor gRPC.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from artemis_server.db.changes.records import Position
from artemis_server.errors import RequestError, ResourceExhausted, Unavailable
from artemis_server.watch.entries import CAUGHT_UP, Entry, token_frame
from artemis_server.watch.ring import Ring
from artemis_server.watch.watcher import Ended, Phase, Watcher

MAX_MESSAGE = 64 * 2**10
"""Bytes of a response that has several transactions."""
_TOKENS = 256
"""Tokens that are kept, because many watchers are at the same place."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the hub."""

    max_ring: int = 16 * 2**20
    """Bytes of changes that wait to be sent. The hub asks for no more until the watchers have some of them."""
    max_stall: float = 30.0
    """Seconds that a client may leave a message unread."""
    max_straggle: float = 2.0
    """Seconds that most watchers wait for slower ones while the ring is full."""
    checkpoint: float = 10.0
    """Seconds between two resume tokens, at most, and between two checks of a caller's access."""
    tick: float = 0.5
    """Seconds between two looks for what is due."""


class Hub:
    """The watchers of one process."""

    def __init__(
        self,
        token: Callable[[Position], str],
        want_page: Callable[[Watcher], None],
        want_join: Callable[[], None],
        *,
        limits: Limits | None = None,
        on_end: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        """Takes what makes the token of a position, and the functions that it calls, which must not wait.

        `want_page` is called when a watcher needs a page, which `deliver` takes, and `want_join` when one can follow.
        """
        self._token_frame = lru_cache(_TOKENS)(lambda position: token_frame(token(position)))
        self._want_page = want_page
        self._want_join = want_join
        self._limits = limits or Limits()
        self._on_end = on_end
        self._watchers: dict[Watcher, None] = {}
        self._joining: dict[Watcher, None] = {}
        self._ready: dict[Watcher, None] = {}
        self._ring = Ring()
        self._position: Position | None = None
        self._following = 0
        self._closing_at: float | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="watch-sender", daemon=True)

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def position(self) -> Position | None:
        """The place in the log up to which the ring reaches; None while nobody follows it."""
        return self._position

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Ends every watcher with UNAVAILABLE once it has what was published; after so many seconds in any case."""
        with self._changed:
            self._closing_at = time.monotonic() + seconds
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds + 1.0)

    def add(self, watcher: Watcher, max_watchers: int) -> None:
        """Adds a watcher, which needs its first page.

        Raises:
            ResourceExhausted: there are as many already.
            Unavailable: the hub is closed.
        """
        watcher.access_time = watcher.token_time = time.monotonic()
        with self._changed:
            if self._closing_at is not None:
                raise _SHUTTING_DOWN
            if len(self._watchers) >= max_watchers:
                raise _TOO_MANY
            self._watchers[watcher] = None
            self._changed.notify_all()  # the thread sleeps for as long as there is no watcher
        self._want_page(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Forgets a watcher whose stream has ended. It may be called more than once."""
        with self._changed:
            if watcher.ended:
                return
            watcher.ended = True
            self._watchers.pop(watcher, None)
            self._joining.pop(watcher, None)
            self._ready.pop(watcher, None)
            if watcher.phase is Phase.FOLLOWING:
                self._following -= 1
                self._drop_sent()
            watcher.own.clear()
            self._changed.notify_all()
        self._on_end(Ended.ACCESS if watcher.stream.denied else watcher.reason)

    def fail(self, watcher: Watcher, error: RequestError, reason: Ended) -> None:
        """Ends a watcher that cannot be served any further."""
        watcher.reason = reason
        self.remove(watcher)
        watcher.stream.end(error)

    def deliver(self, watcher: Watcher, entries: Iterable[Entry], position: Position, *, at_end: bool) -> None:
        """Gives a watcher a page of its own. At the end of the log, it is one of `joining` then."""
        with self._changed:
            if watcher.ended:
                return
            self._take_page(watcher, entries, position)
            watcher.phase = Phase.JOINING if at_end else Phase.PAUSED
            if at_end:
                self._joining[watcher] = None
        if at_end:
            self._want_join()

    def joining(self) -> list[Watcher]:
        """Returns the watchers that are at the end of the log and wait to follow."""
        with self._changed:
            return list(self._joining)

    def all(self) -> list[Watcher]:
        """Returns all watchers."""
        with self._changed:
            return list(self._watchers)

    def publish(self, entries: Sequence[Entry], position: Position) -> None:
        """Gives all watchers that follow what comes next in the log, up to this position."""
        with self._changed:
            if not self._following:
                return
            self._position = position
            self._ring.extend(entries)
            if entries:
                self._ready.update(
                    dict.fromkeys(
                        each for each in self._watchers if each.phase is Phase.FOLLOWING and each.sending_since is None
                    )
                )
                self._changed.notify_all()

    def join(self, watcher: Watcher, entries: Iterable[Entry], position: Position, *, at_end: bool) -> bool:
        """Gives a watcher of `joining` these entries, and lets it follow if they end at the position of the hub.

        If they do not reach the end of the log, it has to read on. Returns whether it follows.
        """
        with self._changed:
            if watcher.ended:
                return False
            self._take_page(watcher, entries, position)
            follows = at_end and self._position in (None, position)
            if follows or not at_end:
                self._joining.pop(watcher, None)
                watcher.phase = Phase.FOLLOWING if follows else Phase.PAUSED
            if follows:
                watcher.cursor = self._ring.end
                self._following += 1
                self._position = position
            return follows

    def wait_for_room(self, stopped: Callable[[], bool]) -> None:
        """Waits while the ring is full, and ends the watchers that most others wait for."""
        full_since = None
        while not stopped():
            with self._changed:
                self._drop_sent()
                if self._ring.size <= self._limits.max_ring:
                    return
                followers = [each for each in self._watchers if each.phase is Phase.FOLLOWING]
                late = [each for each in followers if each.cursor < self._ring.end]
                if 2 * len(late) > len(followers):
                    full_since = None
                full_since = full_since or time.monotonic()
                patient = time.monotonic() - full_since < self._limits.max_straggle
                if patient:
                    self._changed.wait(self._limits.tick / 10)
                    continue
            for watcher in late:
                self._abort(watcher, _TOO_SLOW, Ended.TOO_SLOW)

    def _take_page(self, watcher: Watcher, entries: Iterable[Entry], position: Position) -> None:
        watcher.own.extend(entries)
        watcher.position = position
        if watcher.sent_position is None:
            watcher.sent_position = position
        self._ready[watcher] = None
        self._changed.notify_all()

    def _drop_sent(self) -> None:
        """Drops the entries of the ring that every watcher has been sent."""
        followers = [each.cursor for each in self._watchers if each.phase is Phase.FOLLOWING]
        self._ring.drop_before(min(followers, default=self._ring.end))
        if not self._following:
            self._position = None

    def _run(self) -> None:
        next_tick = 0.0
        while True:
            with self._changed:
                if not self._ready:
                    self._changed.wait(self._idle_time())
                ready, self._ready = self._ready, {}
            for watcher in ready:
                self._send(watcher)
            now = time.monotonic()
            if now >= next_tick or self._closing_at is not None:
                next_tick = now + self._limits.tick
                self._tick(now)
            if self._closing_at is not None and not self._watchers:
                return

    def _idle_time(self) -> float | None:
        """Returns the longest time in seconds in which nothing is due."""
        if self._closing_at is not None:
            return self._limits.tick / 10 if self._watchers else 0
        return self._limits.tick if self._watchers else None

    def _send(self, watcher: Watcher) -> None:
        """Sends a watcher the next response, if there is one for it."""
        while True:
            with self._changed:
                if watcher.ended or watcher.sending_since is not None:
                    return
                batch = self._take(watcher)
                wants_page = watcher.phase is Phase.PAUSED and not watcher.own
                if wants_page:
                    watcher.phase = Phase.READING
            if wants_page:
                self._want_page(watcher)
            if not batch:
                break
            message = self._message(watcher, batch)
            if message:
                self._start(watcher, message)
                return
        if watcher.reached_end and not watcher.told_end:
            self._send_checkpoint(watcher)

    def _take(self, watcher: Watcher) -> list[Entry]:
        """Takes the entries of the next response: one that is not complete, or as many as fit."""
        taken: list[Entry] = []
        size = 0
        while True:
            entry = self._peek(watcher)
            if entry is None or (taken and (size + entry.size > MAX_MESSAGE or not entry.complete)):
                return taken
            taken.append(entry)
            size += entry.size
            if watcher.own:
                watcher.own.popleft()
            else:
                watcher.cursor += 1
            if not entry.complete:
                return taken

    def _peek(self, watcher: Watcher) -> Entry | None:
        if watcher.own:
            return watcher.own[0]
        if watcher.phase is Phase.FOLLOWING and watcher.cursor < self._ring.end:
            return self._ring[watcher.cursor]
        return None

    def _message(self, watcher: Watcher, batch: Sequence[Entry]) -> bytes:
        """Returns the bytes of a response, or none if the filter drops everything."""
        last = batch[-1]
        frames = [frame for entry in batch for frame in entry.choose(watcher.matches, watcher.fill_event)]
        if not last.complete:
            watcher.within |= bool(frames)
            return b"".join(frames)
        watcher.sent_position = last.position
        if not frames and not watcher.within:
            return b""
        watcher.within = False
        watcher.token_time = time.monotonic()
        frames.append(self._token_frames(watcher, last.position))
        return b"".join(frames)

    def _token_frames(self, watcher: Watcher, position: Position) -> bytes:
        """Returns the token of a position, and that the watcher has caught up, if it has."""
        watcher.told_end = watcher.reached_end
        return self._token_frame(position) + (CAUGHT_UP if watcher.told_end else b"")

    def _start(self, watcher: Watcher, message: bytes) -> None:
        watcher.sending_since = time.monotonic()
        if not watcher.stream.send(message, lambda: self._sent(watcher)):
            self.remove(watcher)

    def _sent(self, watcher: Watcher) -> None:
        """Lets a watcher be sent the next response.

        Mostly there is none, and the lock is not taken: the hub's thread takes it for each message of a round, and
        gRPC's thread would hold it up. `publish` extends the ring before it looks at `sending_since`, so one of both
        sees what there is.
        """
        watcher.sending_since = None
        idle = watcher.phase is Phase.FOLLOWING and not watcher.own and watcher.cursor >= self._ring.end
        if idle and self._closing_at is None:
            return
        with self._changed:
            if not watcher.ended:
                self._ready[watcher] = None
                self._changed.notify_all()

    def _tick(self, now: float) -> None:
        """Sends the checkpoints that are due, and ends the watchers that do not read, or must not go on."""
        limits = self._limits
        for watcher in self.all():
            if now - watcher.access_time >= limits.checkpoint:
                watcher.access_time = now
                watcher.stream.check_access()
            since = watcher.sending_since
            if self._closing_at is not None:
                self._end_stopping(watcher, now)
            elif since is not None:
                if now - since >= limits.max_stall:
                    self._abort(watcher, _TOO_SLOW, Ended.TOO_SLOW)
            elif now - watcher.token_time >= limits.checkpoint:
                self._send_checkpoint(watcher)

    def _send_checkpoint(self, watcher: Watcher) -> None:
        """Sends a resume token alone, unless a message is on its way or a transaction has not been sent to its end."""
        with self._changed:
            if watcher.ended or watcher.sending_since is not None or watcher.within:
                return
            at_end = watcher.phase is Phase.FOLLOWING and self._peek(watcher) is None
            position = self._position if at_end else watcher.sent_position
        if position is None:
            return
        watcher.token_time = time.monotonic()
        self._start(watcher, self._token_frames(watcher, position))

    def _end_stopping(self, watcher: Watcher, now: float) -> None:
        assert self._closing_at is not None  # noqa: S101, for the type checker
        with self._changed:
            idle = watcher.sending_since is None and not (
                watcher.phase is Phase.FOLLOWING and self._peek(watcher) is not None
            )
        if idle:
            self.fail(watcher, _SHUTTING_DOWN, Ended.SHUTDOWN)
        elif now >= self._closing_at:
            self._abort(watcher, _SHUTTING_DOWN, Ended.SHUTDOWN)

    def _abort(self, watcher: Watcher, error: RequestError, reason: Ended) -> None:
        watcher.reason = reason
        self.remove(watcher)
        watcher.stream.abort(error)


_SHUTTING_DOWN = Unavailable("SHUTTING_DOWN", "the server is shutting down; try another one")
_TOO_MANY = ResourceExhausted("TOO_MANY_WATCHES", "the server has as many watches as it can; try again later")
_TOO_SLOW = ResourceExhausted("WATCH_TOO_SLOW", "the changes are not read as fast as they are made; resume the watch")
