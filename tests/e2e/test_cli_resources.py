"""`artemis events` and `artemis users`: get, list, create, update and delete, and pipes between them."""

import csv
import json
import re
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from artemis.v1 import events_pb2, users_pb2
from artemis_client import ArtemisClient
from artemis_client.cli.comments import field_comments
from artemis_client.cli.resources import RESOURCES
from google.protobuf.json_format import MessageToJson

from tests.e2e.command import Command, artemis
from tests.e2e.samples import event, user
from tests.e2e.servers import PATIENCE, Server

TIMES = ("--start-time", "2030-05-04T09:00:00Z", "--end-time", "2030-05-04T17:30:00Z")


@pytest.fixture
def command(server: Server, tmp_path: Path) -> Command:
    return Command(tmp_path, server.target)


def made(client: ArtemisClient, category: str, *names: str) -> list[str]:
    """Creates events of a category and returns their ids."""
    return [str(each.id) for each in client.events.batch_create(event(name=name, category=category) for name in names)]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_an_event_is_created_read_changed_and_deleted(command: Command, client: ArtemisClient) -> None:
    owner = client.users.create(user())
    given = ("--name", "Release 2", "--location", "京都", "--owner-id", str(owner.id))

    (created,) = lines(command.prints("events", "create", *given, *TIMES))
    assert (created["name"], created["location"], created["ownerId"]) == ("Release 2", "京都", str(owner.id))
    assert created["startTime"] == "2030-05-04T09:00:00Z"

    change = ("--location", "", "--owner-id", "", "--end-time", "2030-05-05T00:00:00Z", "--etag", created["etag"])
    (updated,) = lines(command.prints("events", "update", created["id"], *change))
    assert (updated["name"], updated["endTime"]) == ("Release 2", "2030-05-05T00:00:00Z")
    assert not {"location", "ownerId"} & updated.keys()

    assert lines(command.prints("events", "get", created["id"])) == [updated]
    assert lines(command.prints("events", "delete", created["id"])) == [updated]
    assert command.run("events", "get", created["id"]).code == 1


def test_a_user_is_created_read_changed_and_deleted(command: Command) -> None:
    email = user().email
    (created,) = lines(command.prints("users", "create", "--email", email, "--first-name", "Ada"))
    (updated,) = lines(command.prints("users", "update", created["id"], "--first-name", "", "--last-name", "L"))

    assert (updated["email"], updated.get("firstName"), updated["lastName"]) == (email, None, "L")
    assert lines(command.prints("users", "list", "--filter", f'email = "{email}"')) == [updated]
    assert lines(command.prints("users", "get", created["id"], created["id"])) == [updated, updated]
    assert lines(command.prints("users", "delete", created["id"])) == [updated]


def test_json_is_what_grpcurl_prints(command: Command, client: ArtemisClient) -> None:
    ids = made(client, "json", "One", "Two")
    stored = [client.events.get(int(each)).to_message() for each in ids]

    assert command.prints("events", "get", ids[0], "--format", "json") == f"{as_json(stored[0])}\n"
    listed = command.prints("events", "list", "--filter", "category = json", "--format", "json")
    assert listed == f"{as_json(events_pb2.ListEventsResponse(events=stored))}\n"
    nothing = command.prints("events", "list", "--filter", "category = json AND name = Three", "--format", "json")
    assert json.loads(nothing) == {"events": []}


def as_json(message: Any) -> str:
    return MessageToJson(message, ensure_ascii=False)


def test_csv_is_that_of_rfc_4180(command: Command, client: ArtemisClient) -> None:
    (number,) = made(client, "csv", '=1+1,"\r\nx')
    arguments = ("events", "list", "--filter", "category = csv", "--format", "csv", "--columns", "id,name,start_time")
    ran = subprocess.run(
        artemis(*arguments), capture_output=True, timeout=PATIENCE, check=True, env=command.environment()
    )

    assert ran.stdout.decode() == (f'id,name,start_time\r\n{number},"\'=1+1,""\r\nx",2026-05-13T09:00:00.123456Z\r\n')


def test_csv_has_all_fields_by_default(command: Command, client: ArtemisClient) -> None:
    (number,) = made(client, "all", "One")
    (row,) = csv.DictReader(StringIO(command.prints("events", "get", number, "--format", "csv")))

    assert [*row] == [field.name for field in events_pb2.Event.DESCRIPTOR.fields]
    assert (row["id"], row["owner_id"], row["location"]) == (number, "", "京都, Japan")


def test_a_table_has_the_columns_that_have_values(command: Command, client: ArtemisClient) -> None:
    made(client, "table", "One", "Two")
    arguments = ("events", "list", "--filter", "category = table", "--order-by", "name desc", "--limit", "1")
    table = command.prints(*arguments, "--format", "table", "--time-zone", "Europe/Berlin").splitlines()

    heading = table[0].split()
    assert heading == ["ID", "NAME", "START_TIME", "END_TIME", "DESCRIPTION", "CATEGORY", "LOCATION", "PUBLISHER"]
    assert len(table) == 2
    assert "Two" in table[1]
    assert "2026-05-13 11:00+02:00  2026-05-15 19:30+02:00" in table[1]
    assert r"workshops 🎉\nfor two days" in table[1]


def test_a_list_goes_on_over_pages_until_its_limit(command: Command, client: ArtemisClient) -> None:
    client.events.batch_create(event(category="pages") for _ in range(1000))
    client.events.batch_create(event(category="pages") for _ in range(5))
    listing = ("events", "list", "--filter", "category = pages", "--columns", "id")

    assert len(command.prints(*listing).splitlines()) == 1005
    assert len(command.prints(*listing, "--limit", "1003").splitlines()) == 1003


def test_ids_come_from_a_pipe(command: Command, client: ArtemisClient) -> None:
    ids = made(client, "piped", "One", "Two", "Three")
    listed = command.prints("events", "list", "--filter", "category = piped")

    assert command.prints("events", "get", "-", stdin=listed) == listed
    assert command.prints("events", "get", ids[2], "-", stdin=f"{ids[0]}\n\n").splitlines() == [
        listed.splitlines()[2],
        listed.splitlines()[0],
    ]
    moved = lines(command.prints("events", "update", "-", "--location", "Osaka", stdin=listed))
    assert [(each["id"], each["location"]) for each in moved] == [(each, "Osaka") for each in ids]
    assert len(lines(command.prints("events", "delete", "-", stdin=listed))) == 3
    assert command.prints("events", "list", "--filter", "category = piped") == ""


def test_nothing_on_a_pipe_is_no_call(command: Command) -> None:
    for name in ("get", "delete"):
        assert command.prints("events", name, "-") == ""
    assert command.prints("events", "update", "-", "--name", "x") == ""


def test_a_file_with_json_is_created_and_its_options_override_it(command: Command) -> None:
    times = '"start_time": "2030-01-01T00:00:00Z", "endTime": "2030-01-01T00:00:00Z"'
    file = f'{{"name": "From a file",\n"category": "file", {times}}}'
    (created,) = lines(command.prints("events", "create", "--file", "-", "--category", "option", stdin=file))
    assert (created["name"], created["category"]) == ("From a file", "option")

    (command.folder / "event.json").write_text(json.dumps(created), encoding="utf-8")
    (copy,) = lines(command.prints("events", "create", "--file", "event.json"))
    assert copy["id"] != created["id"]


def test_a_file_changes_the_fields_that_it_has(command: Command, client: ArtemisClient) -> None:
    one, two = made(client, "changed", "One", "Two")
    changes = [
        {"id": one, "location": "Osaka"},
        {"id": two, "location": None, "description": "", "updateTime": "2000-01-01T00:00:00Z"},
    ]
    updated = lines(command.prints("events", "update", "--file", "-", stdin="\n".join(map(json.dumps, changes))))

    assert [(each["name"], each.get("location"), each["category"]) for each in updated] == [
        ("One", "Osaka", "changed"),
        ("Two", None, "changed"),
    ]
    assert ("description" in updated[0], "description" in updated[1]) == (True, False)


def test_an_event_that_was_read_is_written_back_unless_it_was_changed(command: Command, client: ArtemisClient) -> None:
    (number,) = made(client, "etag", "One")
    read = json.loads(command.prints("events", "get", number)) | {"name": "Two"}

    (written,) = lines(command.prints("events", "update", "--file", "-", stdin=json.dumps(read)))
    again = command.run("events", "update", "--file", "-", stdin=json.dumps(read))

    assert written["name"] == "Two"
    assert again.code == 1
    assert again.err.startswith(f"artemis: ABORTED: event {number} was changed since it was read")
    assert "reason: ETAG_MISMATCH" in again.err
    assert "hint: somebody changed it" in again.err


def test_a_write_that_is_only_checked_changes_nothing(command: Command, client: ArtemisClient) -> None:
    (number,) = made(client, "checked", "One")

    for arguments in (
        ("update", number, "--name", "Two"),
        ("delete", number),
        ("create", "--name", "Three", "--category", "checked", *TIMES),
    ):
        command.prints("events", *arguments, "--validate-only")

    (stored,) = client.events.list(filter="category = checked")
    assert stored.name == "One"


def test_a_request_id_makes_a_write_once(command: Command) -> None:
    given = ("--name", "Once", *TIMES, "--request-id", "6f0a1c9e-3d5b-4a7e-9c21-0d8f5be7a411")

    assert command.prints("events", "create", *given) == command.prints("events", "create", *given)


def test_an_error_shows_what_the_server_said_field_by_field(command: Command) -> None:
    ran = command.run(
        "events", "create", "--name", " ", "--start-time", "2030-05-04T09:00Z", "--end-time", "2030-05-03T09:00Z"
    )

    *shown, request_id = ran.err.splitlines()
    assert (ran.code, ran.out) == (1, "")
    assert shown == [
        "artemis: INVALID_ARGUMENT: event.end_time: must not be before start_time (and 1 more)",
        "  event.end_time: must not be before start_time (END_TIME_NOT_BEFORE_START)",
        "  event.name: must not be blank (STRING_NOT_BLANK)",
        "  reason: INVALID_FIELD",
    ]
    assert request_id.startswith("  request id: ")


def test_a_server_that_does_not_answer_is_named(command: Command) -> None:
    ran = command.run("--timeout", "0.2", "events", "get", "1", variables={"ARTEMIS_TARGET": "127.0.0.1:1"})

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("artemis: UNAVAILABLE: ")
    assert "hint: the server is 127.0.0.1:1, from ARTEMIS_TARGET; --target, " in ran.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("events", "get"), "", "Missing argument 'ID...'"),
        (("events", "get", "x"), "", "'x' is not an id"),
        (("events", "get", "-1"), "", "No such option"),
        (("events", "get", "99999999999999999999"), "", "is not an id"),
        (("events", "delete", "-"), "7\nseven\n", "line 2 of stdin is not an id"),
        (("events", "delete", "-"), '{"id": "7"', "line 1 of stdin is not JSON"),
        (("events", "delete", "1", "2", "--etag", "x"), "", "--etag is for one event"),
        (("events", "list", "--columns", "id,nam"), "", "there is no column 'nam'"),
        (("events", "list", "--limit", "0"), "", "Invalid value for '--limit'"),
        (("events", "list", "--time-zone", "Mars"), "", "'Mars' is not a time zone"),
        (("events", "create"), "", "give the event by options"),
        (("events", "create", "--start-time", "soon"), "", "'soon' is not a time"),
        (("events", "create", "--owner-id", "me"), "", "'me' is not a whole number"),
        (("events", "create", "--file", "-"), "", "the file has 0 JSON objects"),
        (("events", "create", "--id", "7"), "", "No such option"),
        (("events", "update", "7"), "", "give ids and the fields to change"),
        (("events", "update", "7", "8", "--name", "x", "--etag", "x"), "", "--etag is for the update of one"),
        (("events", "update", "--file", "-"), '{"name": "x"}', 'needs an "id"'),
        (("events", "update", "7", "--file", "-"), "{}", "the ids and fields are those of the file"),
        (("--profile", "none", "events", "list"), "", "there is no profile 'none'"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_mistake(
    command: Command, arguments: tuple[str, ...], stdin: str, message: str
) -> None:
    ran = command.run(*arguments, stdin=stdin)

    assert (ran.code, ran.out) == (2, "")
    assert message in " ".join(ran.err.split())
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"{", "not JSON: Expecting property name enclosed in double quotes at character 2"),
        (b"[1]", "must be a JSON object"),
        (b'{"nme": "x"}', 'has no field named "nme"'),
        (b'{"startTime": "soon"}', "Failed to parse startTime field"),
        (b"\xff", "codec can't decode"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_malformed_file_is_an_error_that_names_the_place(command: Command, stdin: bytes, message: str) -> None:
    ran = command.run("events", "create", "--file", "-", stdin=stdin)

    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_a_time_without_a_zone_is_read_in_the_users_own_and_the_zone_is_said(command: Command) -> None:
    given = (
        "events",
        "create",
        "--name",
        "Lunch",
        "--start-time",
        "2030-06-01 12:00",
        "--end-time",
        "2030-06-01T11:00Z",
    )
    ran = command.run(*given, variables={"TZ": "Europe/Berlin"})

    assert json.loads(ran.out)["startTime"] == "2030-06-01T10:00:00Z"
    assert ran.err == "2030-06-01 12:00 is 2030-06-01 12:00+02:00 (your time zone; --time-zone names another)\n"
    ran = command.run(*given, "--time-zone", "Asia/Tokyo")
    assert json.loads(ran.out)["startTime"] == "2030-06-01T03:00:00Z"
    assert ran.err == "2030-06-01 12:00 is 2030-06-01 12:00+09:00 (Asia/Tokyo)\n"


@pytest.mark.parametrize("message", [events_pb2.Event, users_pb2.User])
def test_every_content_field_is_an_option_with_the_comment_of_the_contract(command: Command, message: Any) -> None:
    descriptor = message.DESCRIPTOR
    group = f"{descriptor.name.lower()}s"
    create, update = (options(command.prints(group, each, "--help")) for each in ("create", "update"))
    content = {field.name for field in RESOURCES[group].writable}
    comments = field_comments(descriptor.file.name, descriptor.name)

    assert {field.name for field in descriptor.fields} == comments.keys()
    assert content == {name for name in comments if name in create}
    assert content | {"etag"} == {name for name in comments if name in update}
    assert {name: comments[name] for name in content} == {name: create[name] for name in content}


def options(help_text: str) -> dict[str, str]:
    """Returns the text of each option in a help, by the name of its field."""
    found = re.findall(r"^  --([a-z-]+) (?:[A-Z]+ )? *(.*?)(?=^  --|^$)", help_text, re.MULTILINE | re.DOTALL)
    return {name.replace("-", "_"): " ".join(text.split()) for name, text in found}
