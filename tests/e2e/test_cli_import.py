"""`artemis events import`: safe to repeat, with line numbers, and rejected lines apart."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from artemis_client import ArtemisClient

from tests.e2e.command import Command
from tests.e2e.samples import user
from tests.e2e.servers import Server

TIMES = {"startTime": "2030-01-01T00:00:00Z", "endTime": "2030-01-01T00:00:00Z"}


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path, server.target)


def text(category: str, count: int, **other: Any) -> str:
    """Returns lines with events of a category."""
    return "".join(f"{json.dumps({'name': f'{n}', 'category': category, **TIMES, **other})}\n" for n in range(count))


def count(client: ArtemisClient, category: str) -> int:
    return sum(1 for _ in client.events.list(filter=f"category = {category}"))


def test_an_import_that_is_repeated_creates_nothing_twice(command: Command, client: ArtemisClient) -> None:
    (command.folder / "events.jsonl").write_text(text("twice", 2005))

    assert command.prints("events", "import", "events.jsonl") == "created 2,005 events from 2,005 lines\n"
    again = command.prints("events", "import", "events.jsonl")
    assert again == "created 0 events from 2,005 lines; 2,005 created before\n"
    assert count(client, "twice") == 2005

    command.prints("events", "import", "-", "--again", stdin=text("twice", 3))
    assert count(client, "twice") == 2008


def test_a_file_may_begin_with_a_byte_order_mark(command: Command) -> None:
    lines = text("marked", 2).replace("\n", "\r\n")
    assert command.prints("events", "import", "-", stdin=f"\ufeff{lines}") == "created 2 events from 2 lines\n"


def test_the_place_of_an_error_is_within_the_line(command: Command) -> None:
    ran = command.run("events", "import", "-", stdin='{"name":\n')
    assert ran.err.startswith("artemis: line 1: not JSON: Expecting value at character 9\n")


def test_an_exported_list_is_imported(command: Command, client: ArtemisClient) -> None:
    command.prints("events", "import", "-", stdin=text("exported", 3))
    listed = command.prints("events", "list", "--filter", "category = exported")

    assert command.prints("events", "import", "-", "--again", stdin=listed) == "created 3 events from 3 lines\n"
    assert count(client, "exported") == 6


def test_an_import_stops_at_a_line_that_is_malformed_and_goes_on_when_it_is_mended(
    command: Command, client: ArtemisClient
) -> None:
    good = text("stopped", 1500)
    ran = command.run("events", "import", "-", stdin=f"{good}\n{{oops\n")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "artemis: line 1502: not JSON: Expecting property name enclosed in double quotes at character 2\n"
        "created 1,000 events from 1,000 lines; 1 rejected. "
        "Run the same command again to go on: nothing is created twice.\n"
    )
    mended = command.prints("events", "import", "-", stdin=good)
    assert mended == "created 500 events from 1,500 lines; 1,000 created before\n"
    assert count(client, "stopped") == 1500


def test_an_import_stops_at_a_line_that_the_server_refuses(command: Command, client: ArtemisClient) -> None:
    ran = command.run("events", "import", "-", stdin=text("refused", 3) + text("refused", 1, ownerId=str(2**40)))

    assert ran.code == 1
    assert ran.err.splitlines()[0] == f"artemis: line 4: event.owner_id: there is no user {2**40}"
    assert count(client, "refused") == 0


def test_an_import_continues_and_keeps_the_lines_that_were_rejected(command: Command, client: ArtemisClient) -> None:
    bad = ['{"nme": "x"}\n', text("kept", 1, name=" "), "\ufeff[]\n", text("kept", 1, ownerId="1099511627776")]
    lines = bad[0] + text("kept", 2) + bad[1] + "\r\n" + bad[2] + text("kept", 2) + bad[3]
    ran = command.run("events", "import", "-", "--on-error", "continue", "--rejects", "rejects", stdin=lines)

    assert (ran.code, ran.out) == (1, "created 4 events from 9 lines; 4 rejected\n")
    assert [error.split(": ")[1] for error in sorted(ran.err.splitlines())] == ["line 1", "line 4", "line 6", "line 9"]
    assert count(client, "kept") == 4
    rejected = (command.folder / "rejects").read_text()
    assert sorted(rejected.splitlines()) == sorted("".join(bad).splitlines())

    mended = text("kept", 1) + rejected
    assert command.run("events", "import", "-", "--on-error", "continue", stdin=mended).out.startswith("created 1 ")


def test_every_line_that_is_wrong_is_reported(command: Command) -> None:
    ran = command.run("events", "import", "-", "--on-error", "continue", stdin=text("wrong", 30, name="") + "x\n" * 5)

    assert (ran.code, ran.out) == (1, "created 0 events from 35 lines; 35 rejected\n")
    assert len(ran.err.splitlines()) == 35
    assert "artemis: line 30: event.name: must not be blank" in ran.err


@pytest.mark.acceptance
def test_long_lines_are_split_into_calls_that_the_server_takes(command: Command, client: ArtemisClient) -> None:
    lines = text("long", 300, description="京" * 8000)

    assert command.prints("events", "import", "-", stdin=lines) == "created 300 events from 300 lines\n"
    assert count(client, "long") == 300


def test_a_line_without_an_end_is_refused(command: Command) -> None:
    ran = command.run("events", "import", "-", stdin="x" * (1 << 21))

    assert ran.code == 1
    assert ran.err.startswith("artemis: line 1: longer than 1048576 bytes\n")


def test_an_empty_file_creates_nothing(command: Command) -> None:
    assert command.prints("events", "import", "-") == "created 0 events from 0 lines\n"


def test_users_are_imported(command: Command) -> None:
    emails = [user().email for _ in range(3)]
    lines = [*map(json.dumps, ({"email": email} for email in emails))]
    taken = json.dumps({"email": emails[0].upper()})

    assert command.prints("users", "import", "-", stdin="\n".join(lines)) == "created 3 users from 3 lines\n"
    again = command.prints("users", "import", "-", stdin="\n".join(lines))
    assert again == "created 0 users from 3 lines; 3 created before\n"
    ran = command.run("users", "import", "-", stdin="\n".join([*lines, taken]))
    assert (ran.code, ran.err.splitlines()[0]) == (
        1,
        f"artemis: line 4: user.email: another user has the address {emails[0].upper()}",
    )


def test_users_of_a_file_that_has_grown_are_created_once(command: Command) -> None:
    """Whatever batches they were in; those who are not as in the file are rejected, and so are shared addresses."""
    people = [user() for _ in range(60)]
    lines = [json.dumps({"email": each.email, "last_name": "Old"}) for each in people]
    grown = [json.dumps({"email": user().email}), *lines, json.dumps({"email": user().email})]
    changed = [json.dumps({"email": each.email, "last_name": "New"}) for each in people[:30]]
    shared = json.dumps({"email": people[0].email.upper()})

    assert command.prints("users", "import", "-", stdin="\n".join(lines)) == "created 60 users from 60 lines\n"
    again = command.prints("users", "import", "-", stdin="\n".join(grown))
    assert again == "created 2 users from 62 lines; 60 created before\n"

    sent = [*grown, *changed, shared, json.dumps({"email": user().email})]
    ran = command.run("users", "import", "-", "--on-error", "continue", stdin="\n".join(sent))
    rejected = [line for line in ran.err.splitlines() if "another user has the address" in line]
    assert [f"line {number}:" in line for number, line in enumerate(rejected, 63)] == [True] * 31
    assert ran.out.startswith("created 1 user from 94 lines; 62 created before")

    anew = command.run("users", "import", "-", "--again", stdin="\n".join(lines))
    assert (anew.code, "line 1: user.email: another user has the address" in anew.err) == (1, True)


def test_a_failure_that_no_line_is_to_blame_for_names_the_lines_that_are_open(command: Command) -> None:
    ran = command.run(
        "events", "import", "-", "--on-error", "continue", "--timeout", "0.2", stdin=text("open", 2),
        variables={"ARTEMIS_TARGET": "127.0.0.1:1"},
    )  # fmt: skip

    assert (ran.code, ran.out) == (1, "")
    # Nobody listens there. The time may be up between two attempts, or in one.
    assert re.match("artemis: (UNAVAILABLE|DEADLINE_EXCEEDED): lines 1 to 2: ", ran.err)
    assert "127.0.0.1:1" in ran.err
    assert "Run the same command again to go on" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.jsonl",), "No such file"),
        (("events.jsonl", "--rejects", "rejects"), "--rejects needs --on-error continue"),
        (("events.jsonl", "--on-error", "continue", "--rejects", "./events.jsonl"), "is the file that is imported"),
    ],
)
def test_wrong_usage_ends_with_2(command: Command, arguments: tuple[str, ...], message: str) -> None:
    (command.folder / "events.jsonl").write_text("x")
    ran = command.run("events", "import", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert (command.folder / "events.jsonl").read_text() == "x"
