"""The examples in the help of commands. A test runs every one."""

from collections.abc import Mapping

EXAMPLES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("events", ""): (
        "artemis events list --order-by 'start_time desc' --limit 5",
        "artemis events create --name 'Release 2' --start-time '2030-06-01 09:00' --end-time '2030-06-01 10:00'",
    ),
    ("events", "get"): (
        "artemis events get 1",
        "artemis events get 1 2 --format json",
        "artemis events list --filter 'category = \"python\"' | artemis events get - --format csv",
    ),
    ("events", "list"): (
        "artemis events list",
        'artemis events list --filter \'category = "python" AND start_time > "2030-01-01"\' --order-by start_time',
        "artemis events list --columns id,name,start_time --format csv > events.csv",
        "artemis events list --limit 1 | jq .name",
    ),
    ("events", "create"): (
        "artemis events create --name 'Release 2' --start-time 2030-06-01T09:00:00Z --end-time 2030-06-01T10:00:00Z",
        "artemis events create --name Lunch --start-time '2030-06-01 12:00' --end-time '2030-06-01 13:00' "
        "--time-zone Europe/Berlin",
        "artemis events get 1 --format json | artemis events create --file - --name 'A copy of it'",
        "artemis events create --file event.json --validate-only",
    ),
    ("events", "update"): (
        "artemis events update 1 --location 'Osaka, Japan'",
        "artemis events update 1 --owner-id ''",
        "artemis events list --filter 'category = \"python\"' | artemis events update - --category Python",
        "artemis events get 2 | jq '.name = \"New name\"' | artemis events update --file -",
    ),
    ("events", "delete"): (
        "artemis events delete 3",
        "artemis events delete 4 5 --yes",
        "artemis events list --filter 'end_time < \"2030-01-01\"' | artemis events delete -",
    ),
    ("events", "import"): (
        "artemis events import events.jsonl",
        "artemis events list | artemis --target 127.0.0.1:50051 events import - --again",
        "artemis events import events.jsonl --on-error continue --rejects rejects.jsonl",
    ),
    ("events", "history"): (
        "artemis events history 1",
        "artemis events history 1 --format json",
    ),
    ("events", "watch"): (
        "artemis events watch",
        "artemis events watch --filter 'category = \"python\"' --format jsonl | jq .event.name",
        "artemis events watch --resume-from position --save-position position",
    ),
    ("users", ""): (
        "artemis users list --limit 5",
        "artemis users create --email edsger@example.com --first-name Edsger",
    ),
    ("users", "get"): (
        "artemis users get 1",
        "artemis users get 1 2 --format json",
    ),
    ("users", "list"): (
        "artemis users list --filter 'email = \"*@example.com\"' --order-by last_name",
        "artemis users list --columns id,email --format csv > users.csv",
    ),
    ("users", "create"): (
        "artemis users create --email alan@example.com --first-name Alan --last-name Turing",
        "artemis users create --file user.json --validate-only",
    ),
    ("users", "update"): (
        "artemis users update 1 --last-name Lovelace",
        "artemis users update 1 --last-name ''",
        "artemis users get 1 | jq '.firstName = \"Augusta\"' | artemis users update --file -",
    ),
    ("users", "delete"): (
        "artemis users delete 2",
        "artemis users delete 2 --allow-missing --yes",
    ),
    ("users", "import"): (
        "artemis users import users.jsonl",
        "artemis users import users.jsonl --on-error continue --rejects rejects.jsonl",
    ),
}
