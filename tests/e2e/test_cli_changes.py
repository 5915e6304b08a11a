"""`artemis events history` and `artemis events watch`."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from artemis.v1 import events_pb2
from artemis_client import ArtemisClient, Event
from google.protobuf.json_format import MessageToDict, Parse

from tests.e2e.command import Command
from tests.e2e.processes import Process
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, Server


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path, server.target)


@contextmanager
def watching(command: Command, *arguments: str, saved: str = "position") -> Iterator[Process]:
    """Yields a watch that has begun: it has saved its position."""
    process = command.start("events", "watch", "--save-position", saved, *arguments)
    try:
        wait_for(process, command.folder / saved)
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdout.close()
        process.stderr.close()


def wait_for(process: Process, file: Path) -> None:
    """Waits until the process has made a file."""
    while not file.exists():
        with suppress(subprocess.TimeoutExpired):
            assert process.wait(0.02) is None, "the watch has ended"


def test_a_history_has_the_changes_of_an_event_and_what_they_changed(command: Command, client: ArtemisClient) -> None:
    stored = client.events.create(event(name="Old"))
    client.events.update(Event(id=stored.id, name="New\x1b[2J", location=""), update_mask=["name", "location"])
    client.events.delete(stored.id)
    history = ("events", "history", str(stored.id))

    table = command.prints(*history, "--format", "table").splitlines()
    assert [line.split()[0] for line in table] == ["TYPE", "deleted", "updated", "created"]
    assert table[2].endswith(r"name: Old -> New\x1b[2J; location: 京都, Japan -> (none)")
    response = Parse(command.prints(*history, "--format", "json"), events_pb2.ListEventChangesResponse())
    assert [each.previous_event.name for each in response.changes] == ["", "Old", ""]
    assert [json.loads(line) for line in command.prints(*history).splitlines()] == [
        MessageToDict(change) for change in response.changes
    ]
    csv = command.prints(*history, "--format", "csv").splitlines()
    assert csv[0].startswith("type,event.id,event.name,")
    assert csv[1].startswith(f"deleted,{stored.id},New")


def test_a_watch_prints_changes_as_they_are_made_and_ends_at_ctrl_c(command: Command, client: ArtemisClient) -> None:
    with watching(command, "--filter", "category = watched") as process:
        stored = client.events.create(event(category="watched"))
        client.events.create(event(category="other"))
        client.events.delete(stored.id)
        changes = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.communicate(PATIENCE) == ("", "")

    assert process.returncode == 130
    assert [(each["type"], each["event"]["id"]) for each in changes] == [
        ("TYPE_CREATED", str(stored.id)),
        ("TYPE_DELETED", str(stored.id)),
    ]


def test_a_watch_goes_on_where_it_was_and_misses_nothing(command: Command, client: ArtemisClient) -> None:
    def names() -> list[str]:
        position = ("--resume-from", "position", "--save-position", "position")
        printed = command.prints("events", "watch", *position, "--filter", "category = resumed", "--limit", "2")
        return [json.loads(line)["event"]["name"] for line in printed.splitlines()]

    def create(*names: str) -> None:
        client.events.batch_create(event(category="resumed", name=name) for name in names)

    with watching(command) as process:
        process.terminate()
        assert process.wait(PATIENCE) == 143
    create("One", "Two")
    first = names()
    create("Three", "Four")

    assert [first, names()] == [["One", "Two"], ["Three", "Four"]]


def test_a_watch_prints_responses_as_grpcurl_does(command: Command, client: ArtemisClient) -> None:
    with watching(command, "--format", "json", "--filter", "category = responses", "--limit", "3") as process:
        stored = client.events.batch_create(event(category="responses") for _ in range(3))
        out, err = process.communicate(PATIENCE)

    response: Any = Parse(out, events_pb2.WatchEventsResponse())
    assert (process.returncode, err) == (0, "")
    assert [Event.from_message(change.event) for change in response.changes] == stored
    assert response.resume_token == (command.folder / "position").read_text().strip()


def test_a_watch_in_a_table_and_in_csv(command: Command, client: ArtemisClient) -> None:
    begun = ("--resume-from", "begun", "--filter", "category = formats", "--limit", "1", "--format")
    with watching(command) as process:
        (command.folder / "begun").write_text((command.folder / "position").read_text())
        process.kill()
    stored = client.events.create(event(category="formats", name="\x1b[2JName"))

    table = command.prints("events", "watch", *begun, "table").split("  ")
    assert table[1:] == ["created", str(stored.id), "\\x1b[2JName\n"]
    csv = command.prints("events", "watch", *begun, "csv").splitlines()
    assert csv[0].startswith("type,event.id,")
    assert csv[1].startswith(f"created,{stored.id},")


def test_a_watch_whose_reader_has_gone_ends_without_a_traceback(command: Command, client: ArtemisClient) -> None:
    with watching(command, "--filter", "category = gone") as process:
        process.stdout.close()
        client.events.create(event(category="gone"))
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 1, "artemis: position: No such file or directory"),
        ("nonsense", 1, "reason: INVALID_RESUME_TOKEN"),
    ],
)
def test_a_position_that_cannot_be_used_is_an_error(
    command: Command, content: str | None, code: int, message: str
) -> None:
    if content:
        (command.folder / "position").write_text(content)

    ran = command.run("events", "watch", "--resume-from", "position")

    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err
