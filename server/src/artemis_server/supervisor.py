"""The supervisor: a process that starts workers, starts one again that has died, and renews them one by one.

It knows processes and signals, and neither gRPC nor the database. A worker is a fork of this process, which has no
other thread and no object of gRPC (docs/adr/0024).
"""

import logging
import math
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

SUPPORTED = hasattr(signal, "sigtimedwait") and hasattr(os, "memfd_create")
"""False on systems other than Linux, whose SO_REUSEPORT does not spread connections either."""
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
FIRST_PAUSE, MAX_PAUSE = 0.1, 30.0
"""Seconds until a worker that has died is started again. They double with each death in a row."""
MIN_LIFE = 1.0
"""Seconds that a worker must have listened for its death to count as the first in a row.

Workers that die often, and serve meanwhile, start again at once: callers try again for some seconds only.
"""
MAX_START = 30.0
"""Seconds that a new worker has to become SERVING before it replaces an old one."""
SAME_SIGNAL = 0.1
"""Seconds in which a second signal to stop counts as the same one: `timeout` of coreutils sends it twice."""
STOP_MARGIN = 10.0
"""Seconds beyond the grace that a worker has to end. Then it is killed."""

_FIRST_REAL_TIME = int(getattr(signal, "SIGRTMIN", 34))
LISTENING, SERVING = _FIRST_REAL_TIME, _FIRST_REAL_TIME + 1
"""Signals of a worker to its supervisor. Signals with these numbers queue, and name their sender."""
REPLACED = _FIRST_REAL_TIME + 2
"""The signal of the supervisor to a worker that has to stop, because another one serves in its place."""
_SIGNALS = {*STOP_SIGNALS, signal.SIGHUP, signal.SIGCHLD, LISTENING, SERVING}

Tell = Callable[[int], None]
"""Tells the supervisor that the worker is LISTENING, or SERVING."""
Work = Callable[[int, Tell], int]
"""The work of a worker until SIGTERM or REPLACED: it gets its number, from 1 on, and returns an exit code."""

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class _Worker:
    number: int
    started: float
    listens_since: float = math.inf
    kill_time: float = math.inf
    """The time at which it is killed. A finite time means that it was told to stop."""


class Supervisor:
    """Decides when workers start and end. One thread calls a method for each thing that has happened.

    `start` makes a process for the worker of a number and returns its id; `send` sends a signal to a process. The first
    worker starts alone, and the others once it listens, so that a fault that stops all of them is reported once.
    `on_start` is called once all listen.
    """

    def __init__(
        self,
        count: int,
        start: Callable[[int], int],
        send: Callable[[int, int], None],
        *,
        grace: float,
        on_start: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._numbers = range(1, count + 1)
        self._start = start
        self._send = send
        self._grace = grace
        self._on_start = on_start
        self._clock = clock
        self._workers: dict[int, _Worker] = {}
        """By the id of the process."""
        self._due: dict[int, float] = {1: clock()}
        """The numbers of workers that do not run, and when they start."""
        self._deaths: Counter[int] = Counter()
        """Deaths in a row of the worker of a number, each before it had listened for MIN_LIFE."""
        self._started = False
        self._stopping = False
        self._stop_time = math.inf
        self._renewing = False
        self._to_renew: deque[int] = deque()
        self._replacement: int | None = None
        """The process that is to replace an older one of its number once it is SERVING."""
        self.exit_code = 0

    @property
    def done(self) -> bool:
        """Tells whether the supervisor was told to stop and all workers have ended."""
        return self._stopping and not self._workers

    def wake_time(self) -> float:
        """Returns when `keep_time` has something to do, as the clock has it."""
        times = [*self._due.values(), *(worker.kill_time for worker in self._workers.values())]
        if self._replacement is not None:
            times.append(self._workers[self._replacement].started + MAX_START)
        return min(times, default=math.inf)

    def keep_time(self) -> None:
        """Does what is due: starts workers, kills those that do not end, gives up a replacement that does not serve."""
        now = self._clock()
        for number in [number for number, due in self._due.items() if due <= now]:
            del self._due[number]
            if self._launch(number) is None:
                self._due[number] = now + self._pause(number)
        for pid, worker in self._workers.items():
            if worker.kill_time <= now:
                log.error("worker %s (process %s) does not end: it is killed", worker.number, pid)
                self._kill(pid)
        if self._replacement is not None and self._workers[self._replacement].started + MAX_START <= now:
            pid = self._replacement
            self._give_up(f"its replacement was not SERVING within {MAX_START:g} s")
            self._tell_to_stop(pid)

    def listening(self, pid: int) -> None:
        """Notes that a worker listens."""
        if pid not in self._workers:
            return
        self._workers[pid].listens_since = self._clock()
        if self._started or self._stopping:
            return
        if len(self._workers) == 1:
            self._due = dict.fromkeys(self._numbers[1:], self._clock())
        self._started = sum(worker.listens_since < math.inf for worker in self._workers.values()) == len(self._numbers)
        if self._started:
            self._on_start()

    def serving(self, pid: int) -> None:
        """Notes that the health of a worker is SERVING. If it replaces another one, that one is told to stop."""
        if pid == self._replacement:
            self._replacement = None
            for old in self._others(pid):
                self._tell_to_stop(old, REPLACED)
            self._renew_next()

    def ended(self, pid: int, code: int) -> None:
        """Notes that a process has ended with an exit code, or minus the signal that killed it."""
        worker = self._workers.pop(pid, None)
        if worker is None:  # an orphan of another program: process 1 of a container adopts them
            return
        replaced = pid == self._replacement
        if replaced:
            self._replacement = None
            self._give_up(f"its replacement {_cause(code)}")
        if self._stopping:
            self.exit_code |= code != 0
        elif not self._started:
            self._fail(worker, code)
        elif worker.kill_time < math.inf:
            self._renew_next()
        elif not self._others(pid, worker.number):
            self._start_again(worker, pid, code)

    def renew(self) -> None:
        """Replaces the workers one by one. While this is under way, it begins again."""
        if not self._started or self._stopping:
            log.info("SIGHUP changes nothing while the server starts or stops")
            return
        log.info("renewing the workers")
        self._renewing = True
        self._to_renew = deque(self._numbers)
        self._renew_next()

    def stop(self) -> None:
        """Tells every worker to stop. The second time, SAME_SIGNAL seconds later or more, every worker is killed."""
        if self._stopping:
            if self._clock() - self._stop_time < SAME_SIGNAL:
                return
            log.warning("stopping at once: requests in flight are cut off")
            for pid in self._workers:
                self._kill(pid)
            return
        self._stopping = True
        self._stop_time = self._clock()
        self._due.clear()
        self._renewing = False
        self._to_renew.clear()
        self._replacement = None
        for pid in self._workers:
            self._tell_to_stop(pid)

    def _launch(self, number: int) -> int | None:
        """Starts a process and returns its id; None if the system makes none."""
        try:
            pid = self._start(number)
        except OSError as error:
            log.error("worker %s cannot start: %s", number, error.strerror)
            return None
        self._workers[pid] = _Worker(number=number, started=self._clock())
        log.debug("worker %s is process %s", number, pid)
        return pid

    def _start_again(self, worker: _Worker, pid: int, code: int) -> None:
        if self._clock() - worker.listens_since >= MIN_LIFE:
            self._deaths[worker.number] = 0
        pause = self._pause(worker.number)
        log.error("worker %s (process %s) %s; it starts again in %g s", worker.number, pid, _cause(code), pause)
        self._due[worker.number] = self._clock() + pause

    def _pause(self, number: int) -> float:
        self._deaths[number] += 1
        return float(min(MAX_PAUSE, FIRST_PAUSE * 2 ** min(self._deaths[number] - 1, 20)))

    def _fail(self, worker: _Worker, code: int) -> None:
        """Ends a server that has not started. A worker that ends with code 1 has said why."""
        if code != 1:
            log.error("worker %s %s before it listened", worker.number, _cause(code))
        self.exit_code = 1
        self.stop()

    def _renew_next(self) -> None:
        """Starts the next replacement, unless a replacement starts or an old worker still ends."""
        if self._replacement is not None or any(worker.kill_time < math.inf for worker in self._workers.values()):
            return
        while self._to_renew and self._replacement is None:
            number = self._to_renew.popleft()
            if number not in self._due:  # one that is dead will be new anyway
                self._replacement = self._launch(number)
                if self._replacement is None:
                    self._give_up("the system makes no process")
        if self._renewing and self._replacement is None:
            self._renewing = False
            log.info("the workers are renewed")

    def _give_up(self, why: str) -> None:
        """Ends the renewal; the workers that are left stay."""
        self._replacement = None
        self._renewing = False
        self._to_renew.clear()
        log.error("the renewal ends, and the old worker stays: %s", why)

    def _others(self, pid: int, number: int | None = None) -> list[int]:
        """Returns the other processes with the number of this one that were not told to stop."""
        number = self._workers[pid].number if number is None else number
        return [
            other
            for other, worker in self._workers.items()
            if other != pid and worker.number == number and worker.kill_time == math.inf
        ]

    def _tell_to_stop(self, pid: int, number: int = signal.SIGTERM) -> None:
        worker = self._workers[pid]
        worker.kill_time = min(worker.kill_time, self._clock() + self._grace + STOP_MARGIN)
        self._send(pid, number)

    def _kill(self, pid: int) -> None:
        self._workers[pid].kill_time = self._clock() + STOP_MARGIN
        self._send(pid, signal.SIGKILL)


def supervise(count: int, work: Work, *, grace: float, on_start: Callable[[], None]) -> int:
    """Runs workers until SIGTERM or SIGINT, and returns the exit code: 0 if all ended with 0 when they were told to.

    `grace` is how many seconds a worker needs at most to end. If this process is killed, the workers end as by SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    lifeline, held = os.pipe()  # the workers see its end when this process ends
    supervisor = Supervisor(
        count, lambda number: _fork(work, number, lifeline, held), os.kill, grace=grace, on_start=on_start
    )
    while not supervisor.done:
        supervisor.keep_time()
        seconds = max(0.0, supervisor.wake_time() - time.monotonic())
        received = signal.sigtimedwait(_SIGNALS, min(seconds, MAX_START))
        if received is not None:
            _handle(supervisor, received)
    return supervisor.exit_code


def _handle(supervisor: Supervisor, received: "signal.struct_siginfo") -> None:
    if received.si_signo == signal.SIGCHLD:
        _reap(supervisor)
    elif received.si_signo == LISTENING:
        supervisor.listening(received.si_pid)
    elif received.si_signo == SERVING:
        supervisor.serving(received.si_pid)
    elif received.si_signo == signal.SIGHUP:
        supervisor.renew()
    else:
        supervisor.stop()


def _reap(supervisor: Supervisor) -> None:
    """Takes all processes that have ended: several of them may cause one SIGCHLD."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        supervisor.ended(pid, os.waitstatus_to_exitcode(status))


def _fork(work: Work, number: int, lifeline: int, held: int) -> int:
    """Returns the id of a new process that works. That process ends here, and runs no code of its parent's stack."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid

    def tell(state: int) -> None:
        with suppress(ProcessLookupError):  # it has been killed, and `_end_with` ends this process
            os.kill(parent, state)

    code = 1
    try:
        os.close(held)
        for ignored in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to the supervisor as well
            signal.signal(ignored, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGTERM, REPLACED})
        threading.Thread(target=_end_with, args=(lifeline,), name="lifeline", daemon=True).start()
        code = work(number, tell)
    except Exception:
        log.exception("worker %s failed", number)
    finally:
        os._exit(code)


def _end_with(lifeline: int) -> None:
    """Ends this process as SIGTERM does, when no process has the other end of the pipe any more."""
    os.read(lifeline, 1)
    log.error("the supervisor has ended")
    os.kill(os.getpid(), signal.SIGTERM)


def _cause(code: int) -> str:
    return f"was killed by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
