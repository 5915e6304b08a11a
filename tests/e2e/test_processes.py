"""Programs that the nursery forks end as those that an interpreter of their own runs."""

import signal

import pytest

from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, environment


def program(*command: str) -> Process:
    return Process(["tests.programs", *command], environment())


@pytest.mark.parametrize("code", [0, 3])
def test_threads_and_atexit_run_before_the_end(code: int) -> None:
    process = program("say_when_it_ends", str(code))

    assert process.communicate(PATIENCE) == ("a thread", ", then atexit\n")
    assert process.wait(PATIENCE) == code


def test_an_exception_is_printed_and_ends_with_1() -> None:
    process = program("say_when_it_ends", "no number")

    assert "ValueError: invalid literal for int()" in process.communicate(PATIENCE)[1]
    assert process.wait(PATIENCE) == 1


def test_the_end_of_each_is_told_apart() -> None:
    processes = [program("say_when_it_ends", str(code)) for code in range(4)]
    assert [process.wait(PATIENCE) for process in processes] == [0, 1, 2, 3]
    for process in processes:
        process.communicate(PATIENCE)


def test_a_signal_is_told_as_its_negative_number() -> None:
    process = program("wait_for_a_signal")
    assert process.stdout.readline() == "waiting\n"

    process.send_signal(signal.SIGTERM)

    process.communicate(PATIENCE)
    assert process.wait(PATIENCE) == -signal.SIGTERM
