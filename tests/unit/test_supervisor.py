"""The supervisor's decisions, as a function of what happens to its workers; and its processes, with trivial work."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from artemis_server.supervisor import (
    FIRST_PAUSE,
    MAX_PAUSE,
    MAX_START,
    MIN_LIFE,
    REPLACED,
    SAME_SIGNAL,
    STOP_MARGIN,
    Supervisor,
)

GRACE = 5.0
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class System:
    """A system whose processes have the ids 1, 2, 3 and so on, and whose time passes when it is told to."""

    def __init__(self, workers: int = 2) -> None:
        self._ids = count(1)
        self.now = 1000.0
        self.numbers: dict[int, int] = {}
        """The worker's number of each process that was started."""
        self.sent: list[tuple[int, int]] = []
        """The signals that were sent: the process and the signal."""
        self.announced = 0
        self.full = False
        self.supervisor = Supervisor(
            workers,
            self._start,
            lambda pid, number: self.sent.append((pid, number)),
            grace=GRACE,
            on_start=self._announce,
            clock=lambda: self.now,
        )
        self.supervisor.keep_time()

    def _start(self, number: int) -> int:
        if self.full:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pid = next(self._ids)
        self.numbers[pid] = number
        return pid

    def _announce(self) -> None:
        self.announced += 1

    def wait(self) -> float:
        """Lets time pass until something is due; returns how many seconds that took."""
        before, self.now = self.now, self.supervisor.wake_time()
        self.supervisor.keep_time()
        return self.now - before

    def serve(self, *pids: int) -> None:
        """Lets processes listen and serve."""
        for pid in pids:
            self.supervisor.listening(pid)
            self.supervisor.keep_time()
            self.supervisor.serving(pid)

    def end(self, pid: int, code: int = 0) -> None:
        self.supervisor.ended(pid, code)
        self.supervisor.keep_time()


@pytest.fixture
def system() -> System:
    """Two workers that serve: the processes 1 and 2."""
    system = System()
    system.serve(1, 2)
    return system


def test_the_first_worker_starts_alone_and_the_others_once_it_listens() -> None:
    system = System(workers=3)
    assert system.numbers == {1: 1}
    system.serve(1)
    assert system.numbers == {1: 1, 2: 2, 3: 3}
    assert system.announced == 0
    system.serve(3, 2)
    assert system.announced == 1


@pytest.mark.parametrize(("code", "told"), [(1, ""), (-9, "worker 1 was killed by signal 9 (Killed)")])
def test_a_worker_that_ends_before_it_listens_ends_the_server(
    caplog: pytest.LogCaptureFixture, code: int, told: str
) -> None:
    """A worker that ends with code 1 has said why."""
    system = System()
    system.end(1, code)
    assert system.supervisor.done
    assert system.supervisor.exit_code == 1
    assert told in caplog.text
    assert bool(told) is bool(caplog.text)


def test_a_worker_that_dies_is_started_again(system: System, caplog: pytest.LogCaptureFixture) -> None:
    system.now += 60
    system.end(2, -9)
    assert system.wait() == pytest.approx(FIRST_PAUSE)
    assert system.numbers == {1: 1, 2: 2, 3: 2}
    assert [record.getMessage() for record in caplog.records] == [
        "worker 2 (process 2) was killed by signal 9 (Killed); it starts again in 0.1 s"
    ]


def test_each_death_in_a_row_doubles_the_pause_up_to_a_limit(system: System) -> None:
    pauses = []
    for pid in range(2, 14):
        system.end(pid, 1)
        pauses.append(system.wait())
    assert [min(MAX_PAUSE, FIRST_PAUSE * 2**number) for number in range(12)] == pytest.approx(pauses)
    assert pauses[-1] == pytest.approx(MAX_PAUSE)


def test_a_worker_that_listened_for_a_while_starts_again_after_the_first_pause(system: System) -> None:
    for pid in range(2, 6):
        system.end(pid, 1)
        system.wait()
    system.serve(6)
    system.now += MIN_LIFE
    system.end(6, 1)
    assert system.wait() == pytest.approx(FIRST_PAUSE)


def test_the_death_of_one_worker_does_not_count_for_another(system: System) -> None:
    for pid in range(2, 6):
        system.end(pid, 1)
        system.wait()
    system.now += MIN_LIFE
    system.end(1, -9)
    assert system.wait() == pytest.approx(FIRST_PAUSE)


def test_a_system_that_makes_no_process_is_asked_again(system: System) -> None:
    system.full = True
    system.end(2, -9)
    assert system.wait() == pytest.approx(FIRST_PAUSE)
    assert system.wait() == pytest.approx(2 * FIRST_PAUSE)
    system.full = False
    system.wait()
    assert system.numbers == {1: 1, 2: 2, 3: 2}


def test_an_orphan_that_ends_changes_nothing(system: System) -> None:
    """Process 1 of a container adopts the orphans of others."""
    system.end(99, 1)
    assert system.supervisor.wake_time() == float("inf")


def test_a_stop_tells_every_worker_and_is_done_when_all_have_ended(system: System) -> None:
    system.supervisor.stop()
    assert system.sent == [(1, TERM), (2, TERM)]
    system.end(1)
    assert not system.supervisor.done
    system.end(2)
    assert system.supervisor.done
    assert system.supervisor.exit_code == 0


def test_a_stop_starts_no_worker_that_waits_for_its_start(system: System) -> None:
    system.end(2, -9)
    system.supervisor.stop()
    system.end(1)
    assert system.supervisor.done
    assert system.numbers == {1: 1, 2: 2}


def test_a_second_stop_kills_every_worker(system: System) -> None:
    system.supervisor.stop()
    system.now += SAME_SIGNAL
    system.supervisor.stop()
    assert system.sent[2:] == [(1, KILL), (2, KILL)]
    system.end(1, -9)
    system.end(2, -9)
    assert system.supervisor.exit_code == 1


def test_the_same_signal_sent_twice_is_one_stop(system: System) -> None:
    system.supervisor.stop()
    system.supervisor.stop()
    assert system.sent == [(1, TERM), (2, TERM)]


def test_a_worker_that_does_not_end_is_killed(system: System) -> None:
    system.supervisor.stop()
    assert system.wait() == GRACE + STOP_MARGIN
    assert system.sent[2:] == [(1, KILL), (2, KILL)]


def test_a_renewal_replaces_one_worker_after_the_other_and_stops_none_before_its_replacement_serves(
    system: System,
) -> None:
    system.supervisor.renew()
    assert system.numbers == {1: 1, 2: 2, 3: 1}
    system.supervisor.listening(3)
    assert system.sent == []
    system.supervisor.serving(3)
    assert system.sent == [(1, REPLACED)]
    assert system.numbers == {1: 1, 2: 2, 3: 1}  # the second worker waits until the first one has ended
    system.end(1)
    assert system.numbers == {1: 1, 2: 2, 3: 1, 4: 2}
    system.serve(4)
    system.end(2)
    assert system.sent == [(1, REPLACED), (2, REPLACED)]
    assert system.supervisor.wake_time() == float("inf")


def test_a_replacement_that_ends_leaves_the_old_workers(system: System) -> None:
    system.supervisor.renew()
    system.end(3, 1)
    assert system.sent == []
    assert system.supervisor.wake_time() == float("inf")


def test_a_replacement_that_does_not_serve_in_time_is_stopped_and_the_old_worker_stays(system: System) -> None:
    system.supervisor.renew()
    system.supervisor.listening(3)
    assert system.wait() == MAX_START
    assert system.sent == [(3, TERM)]
    system.end(3)
    assert system.numbers == {1: 1, 2: 2, 3: 1}
    assert system.supervisor.wake_time() == float("inf")


def test_a_system_that_makes_no_process_ends_the_renewal(system: System) -> None:
    system.full = True
    system.supervisor.renew()
    assert system.sent == []
    assert system.supervisor.wake_time() == float("inf")


def test_an_old_worker_that_dies_is_not_started_again_beside_its_replacement(system: System) -> None:
    system.supervisor.renew()
    system.end(1, -9)
    assert system.supervisor.wake_time() == system.now + MAX_START
    system.serve(3)
    assert system.numbers == {1: 1, 2: 2, 3: 1, 4: 2}


def test_a_replacement_that_dies_while_the_old_worker_ends_is_started_again(system: System) -> None:
    system.supervisor.renew()
    system.serve(3)
    system.end(3, -9)
    assert system.wait() == pytest.approx(FIRST_PAUSE)
    assert system.numbers == {1: 1, 2: 2, 3: 1, 4: 1}


def test_a_worker_that_waits_for_its_start_needs_no_renewal(system: System) -> None:
    system.end(1, -9)
    system.supervisor.renew()
    assert system.numbers == {1: 1, 2: 2, 3: 2}


def test_a_second_renewal_begins_again_when_the_present_replacement_serves(system: System) -> None:
    system.supervisor.renew()
    system.supervisor.renew()
    system.serve(3)
    system.end(1)
    assert system.numbers == {1: 1, 2: 2, 3: 1, 4: 1}


def test_a_stop_ends_a_renewal(system: System) -> None:
    system.supervisor.renew()
    system.supervisor.stop()
    assert system.sent == [(1, TERM), (2, TERM), (3, TERM)]
    for pid in (3, 1, 2):
        system.end(pid)
    assert system.supervisor.done
    assert system.supervisor.exit_code == 0


PROGRAM = """
import logging, os, signal, sys
from artemis_server.supervisor import LISTENING, SERVING, supervise

def work(number, tell):
    if {failing}:
        raise ValueError("a fault")
    tell(LISTENING)
    tell(SERVING)
    signal.sigwait({{signal.SIGTERM}})
    os.write(1, b"ended\\n")  # at once: another worker writes as well
    return 0

logging.basicConfig(stream=sys.stderr)
print(supervise(2, work, grace=1, on_start=lambda: print("started", flush=True)))
"""


@pytest.fixture
def program() -> Iterator["subprocess.Popen[str]"]:
    """A program of two workers that run."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(failing=False)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    yield process
    process.kill()
    process.communicate()


def test_processes_run_until_they_are_told_to_end(program: "subprocess.Popen[str]") -> None:
    program.terminate()
    assert program.communicate(timeout=60)[0] == "ended\nended\n0\n"


def test_processes_end_when_the_supervisor_is_killed(program: "subprocess.Popen[str]") -> None:
    """They hold its output, which ends with them."""
    program.kill()
    assert program.communicate(timeout=60)[0] == "ended\nended\n"


def test_an_interrupt_from_a_terminal_which_all_processes_get_drains(program: "subprocess.Popen[str]") -> None:
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text(encoding="ascii")
    for pid in map(int, children.split()):
        os.kill(pid, signal.SIGINT)
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60)[0] == "ended\nended\n0\n"


def test_a_worker_with_a_fault_ends_a_server_that_starts() -> None:
    command = [sys.executable, "-c", PROGRAM.format(failing=True)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "1\n"
    assert run.stderr.endswith("ValueError: a fault\n")
    assert "worker 1 failed" in run.stderr
    assert "worker 2" not in run.stderr


OTHER_SYSTEM = """
import os, signal, sys
for module, name in ((signal, "struct_siginfo"), (signal, "sigtimedwait"), (os, "memfd_create")):
    vars(module).pop(name, None)
from artemis_server.cli import main
sys.exit(main(["serve", "--workers", "2", "--database-url", "sqlite:////nowhere/artemis.db"]))
"""


@pytest.mark.acceptance
def test_a_system_without_the_calls_of_linux_refuses_several_workers_in_one_line() -> None:
    """Such as macOS. Importing the server needs none of these calls."""
    run = subprocess.run([sys.executable, "-c", OTHER_SYSTEM], capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == "artemis-server: several workers need Linux: leave out --workers\n"
    assert run.returncode == 2
