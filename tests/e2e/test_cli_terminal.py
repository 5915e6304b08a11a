"""The command on a terminal: tables that fit, colours, questions, progress, and Ctrl-C."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from artemis_client import ArtemisClient

from tests.e2e.command import MODULE, Command, artemis, terminal
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, Server


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path, server.target)


def test_a_list_is_a_table_that_fits_and_acts_on_nothing(command: Command, client: ArtemisClient) -> None:
    names = ["\x1b[2J\x9b31m", "京都" * 50, "short"]
    client.events.batch_create(event(category="screen", name=name, description="long " * 99) for name in names)
    listing = artemis("events", "list", "--filter", "category = screen")

    with terminal(listing, command.environment(), command.folder, columns=90) as screen:
        shown = screen.read()
    assert "\x1b[1mID " in shown
    assert r"\x1b[2J\x9b31m" in shown
    assert "…" in shown
    assert "short" in shown
    assert "DESCRIPTION" not in shown
    assert shown.count("\n") == 4

    for variables, more in (({"NO_COLOR": "1"}, ()), ({"TERM": "dumb"}, ()), ({}, ("--no-color",))):
        with terminal([*listing, *more], command.environment(variables), command.folder) as screen:
            assert "\x1b" not in screen.read()


def test_one_event_is_shown_field_by_field(command: Command, client: ArtemisClient) -> None:
    stored = client.events.create(event())

    with terminal(artemis("events", "get", str(stored.id)), command.environment({"NO_COLOR": "1"}), Path()) as screen:
        shown = screen.read().splitlines()
    assert "description: Talks — 講演 — and workshops 🎉" in shown
    assert "             for two days" in shown
    assert "start_time:  2026-05-13 09:00+00:00" in shown


def test_a_delete_asks_first(command: Command, client: ArtemisClient) -> None:
    stored = client.events.create(event())
    delete = artemis("events", "delete", str(stored.id))
    env = command.environment()

    for keys, code in (("n\n", 1), ("\x03", 130)):
        with terminal(delete, env, command.folder) as screen:
            screen.read_until(f"Delete event {stored.id} for good? [y/N] ")
            screen.type(keys)
            screen.read()
            assert screen.process.wait(PATIENCE) == code
            assert "Traceback" not in screen.text
    assert client.events.get(stored.id) == stored

    piped = f"echo {stored.id} | {shlex.join([sys.executable, '-m', MODULE])} events delete -"
    with terminal(["/bin/sh", "-c", piped], env, command.folder) as screen:
        screen.read_until("for good? [y/N] ")
        screen.type("y\n")
        screen.read()
        assert screen.process.wait(PATIENCE) == 0
    assert list(client.events.list(filter=f"id = {stored.id}")) == []


def test_ctrl_c_ends_a_question_also_if_it_interrupts_no_read(command: Command) -> None:
    """As when it comes just before the read. Here, another thread takes the signal."""
    program = """
import signal, sys, threading
from artemis_client.cli.__main__ import main
threading.Thread(target=threading.Event().wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
sys.argv = ["artemis", "events", "delete", "7"]
main()
"""
    with terminal([sys.executable, "-c", program], command.environment(), command.folder) as screen:
        screen.read_until("Delete event 7 for good? [y/N] ")
        screen.type("\x03")
        screen.read()
        assert screen.process.wait(PATIENCE) == 130
    assert "Traceback" not in screen.text


def test_an_import_shows_its_progress(command: Command) -> None:
    line = {"name": "x", "startTime": "2030-01-01T00:00:00Z", "endTime": "2030-01-01T00:00:00Z"}
    (command.folder / "events.jsonl").write_text(f"{json.dumps(line)}\n" * 10 + "[/bold]\n")

    arguments = artemis("events", "import", "events.jsonl", "--on-error", "continue")
    with terminal(arguments, command.environment(), command.folder) as screen:
        shown = screen.read()
        assert screen.process.wait(PATIENCE) == 1
    assert "0 created" in shown
    assert "artemis: line 11: not JSON" in shown
    assert "created 10 events from 11 lines; 1 rejected" in shown


def test_a_watch_follows_and_ends_at_ctrl_c(command: Command, client: ArtemisClient) -> None:
    watch = artemis("events", "watch", "--filter", "category = live")
    with terminal(watch, command.environment(), command.folder) as screen:
        screen.read_until("Watching; Ctrl-C ends it.")
        stored = client.events.create(event(category="live", name="Live \x1b[2J"))
        shown = screen.read_until("Live ")
        screen.type("\x03")
        screen.read()
        assert screen.process.wait(PATIENCE) == 130
    assert f"\x1b[32mcreated\x1b[0m  {stored.id}  Live \\x1b[2J" in screen.text
    assert "Traceback" not in shown
