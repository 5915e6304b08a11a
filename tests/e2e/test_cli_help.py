"""Every command has a help, and every example in it works."""

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from artemis_client import ArtemisClient
from artemis_client.cli.app import root
from artemis_client.cli.lazy import Command as CommandWithExamples
from artemis_client.cli.lazy import LazyGroup

from tests.e2e.command import Command
from tests.e2e.conftest import Serve
from tests.e2e.documents import PORT
from tests.e2e.samples import event, user
from tests.e2e.servers import PATIENCE
from tests.e2e.test_cli_changes import watching
from tests.tools import needs

pytestmark = pytest.mark.acceptance

LATER = datetime(2031, 1, 1, tzinfo=UTC)
Commands = Iterator[tuple[str, CommandWithExamples | LazyGroup]]


def commands(group: click.Command = root, path: str = "artemis") -> Commands:
    """Yields every command with the words that call it."""
    assert isinstance(group, CommandWithExamples | LazyGroup)
    yield path, group
    if isinstance(group, LazyGroup):
        context = click.Context(group)
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield from commands(found, f"{path} {name}")


ALL = dict(commands())


def test_every_help_has_examples_of_its_command_and_fits_a_terminal(tmp_path: Path) -> None:
    command = Command(tmp_path)
    for path, each in ALL.items():
        shown = command.prints(*path.split()[1:], "--help").splitlines()
        assert shown[0].startswith(f"Usage: {path} ")
        assert [line.strip(" $") for line in shown if line.strip().startswith("$")] == [*each.examples]
        assert path in each.examples[0] or isinstance(each, LazyGroup)
        assert [line for line in shown if len(line) > 80 and "$ artemis" not in line] == []


@needs("jq")
def test_every_example_works(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    command = Command(tmp_path, server.target)
    with ArtemisClient(server.target) as client:
        for number in range(3):
            client.users.create(user(email=f"user{number}@example.com"))
        client.events.batch_create(event(category="python", owner_id=1) for _ in range(8))
        client.events.create(event(category="python", name="Later", start_time=LATER, end_time=LATER))
        (tmp_path / "event.json").write_text(command.prints("events", "get", "1", "--format", "json"))
        (tmp_path / "events.jsonl").write_text(command.prints("events", "list"))
        (tmp_path / "user.json").write_text('{"email": "new@example.com"}')
        (tmp_path / "users.jsonl").write_text("".join(f'{{"email": "{n}@example.com"}}\n' for n in range(3)))
        (tmp_path / "token").write_text("secret\n")
        for path, each in ALL.items():
            for example in each.examples:
                run_example(command, example.replace(PORT, f":{server.port}"), client, watches=path.endswith(" watch"))


@dataclass
class Part:
    """A command of a pipe, and the files that it reads and writes."""

    words: list[str] = field(default_factory=list)
    source: str = ""
    file: str = ""


def parts_of(example: str) -> list[Part]:
    """Returns the commands of a pipe."""
    parts = [Part()]
    words = shlex.shlex(example, posix=True, punctuation_chars="|<>")
    words.whitespace_split = True
    for word in words:
        if word == "|":
            parts.append(Part())
        elif word == "<":
            parts[-1].source = next(words)
        elif word == ">":
            parts[-1].file = next(words)
        else:
            parts[-1].words.append(word)
    return parts


def run_example(command: Command, example: str, client: ArtemisClient, *, watches: bool) -> None:
    """Runs the commands of a pipe one after the other, as a shell does at once."""
    printed = ""
    for part in parts_of(example):
        arguments, given, file = part.words, printed, part.file
        if part.source:
            given = (command.folder / part.source).read_text()
        if watches and arguments[0] == "artemis":
            printed = watched(command, arguments[3:], client)
        elif arguments[0] == "artemis":
            ran = command.run(*arguments[1:], stdin=given)
            assert (ran.code, "Traceback" in ran.err) == (0, False), (example, ran)
            printed = ran.out
        else:
            printed = subprocess.run(
                arguments, input=given, capture_output=True, text=True, timeout=PATIENCE, check=True
            ).stdout
        if file:
            (command.folder / file).write_text(printed)
    assert printed or "delete" in example or "set-profile" in example, example


def watched(command: Command, arguments: list[str], client: ArtemisClient) -> str:
    """Returns what a watch prints about the first event that is created."""
    position = command.folder / "position"
    if "--resume-from" not in arguments:
        position.unlink(missing_ok=True)
    (command.folder / "begun").unlink(missing_ok=True)
    with watching(command, *arguments, "--limit", "1", "--save-position", "begun", saved="begun") as process:
        client.events.create(event(category="python"))
        out, err = process.communicate(PATIENCE)
    assert (process.returncode, err) == (0, "")
    (command.folder / "begun").rename(position)
    return out
