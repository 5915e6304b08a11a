"""The pages print what they say: their commands, programs and filters are run against a real server."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from artemis.v1.events_pb2 import Event as EventMessage
from artemis_client import ArtemisClient, Event, InvalidArgument, User
from google.protobuf.json_format import ParseDict
from sqlalchemy import URL

from tests.conftest import cloned
from tests.e2e.conftest import Serve
from tests.e2e.documents import Shell, Step, same_in_every_run, steps_of, table_of, text_of
from tests.e2e.servers import PATIENCE, serving
from tests.tools import needs

pytestmark = pytest.mark.acceptance

ACCESS, FILTERS = "docs/access.md", "docs/filters.md"
PAGES = [
    ["README.md", "docs/operations.md"],
    ["client/README.md"],
    ["loader/README.md"],
    ["docs/tour.md"],
    ["docs/watching.md"],
]
"""Pages with commands or programs; those in one list follow each other on one server."""
CONSUMER, FEED_OWNER, OPERATOR = (f"docs/tutorials/{name}.md" for name in ("consumer", "feed-owner", "operator"))
MODELS = "models/README.md"
RUN = [page for pages in PAGES for page in pages] + [ACCESS, CONSUMER, FEED_OWNER, MODELS, OPERATOR, "docs/command.md"]
"""All pages whose commands and programs are run here."""


COMMAND = pytest.param(
    ["docs/command.md"],
    marks=needs("bash", "jq"),
)


@pytest.mark.parametrize("pages", [*PAGES, COMMAND], ids=lambda pages: pages[-1])
def test_the_steps_of_a_page_print_what_it_shows(pages: list[str], serve: Serve, tmp_path: Path) -> None:
    shell = Shell(tmp_path, serve().target)
    steps = [step for page in pages for step in steps_of(page)]
    assert_printed(shell, steps)
    for program in (step for step in steps if step.is_program):  # a reader who tries it again
        assert "Traceback" not in shell.run(program)


@needs("openssl")
def test_the_steps_of_the_page_on_access_print_what_it_shows(tmp_path: Path) -> None:
    """They start servers of their own."""
    (identities,) = re.findall(r"^```toml\n(\[\[identity.*?)^```", text_of(ACCESS), re.DOTALL | re.MULTILINE)
    (tmp_path / "identities.toml").write_text(identities, encoding="utf-8")
    with closing(Shell(tmp_path)) as shell:
        assert_printed(shell, list(steps_of(ACCESS)))


def test_the_steps_of_the_tutorial_for_consumers_print_what_it_shows(serve: Serve, tmp_path: Path) -> None:
    assert_printed(Shell(tmp_path, serve().target), list(steps_of(CONSUMER)))


@pytest.mark.parametrize("page", [FEED_OWNER, MODELS])
def test_the_steps_of_a_page_without_a_server_print_what_it_shows(page: str, tmp_path: Path) -> None:
    assert_printed(Shell(tmp_path), list(steps_of(page)))


@needs("openssl")
def test_the_steps_of_the_tutorial_on_servers_print_what_it_shows(postgresql_server: URL, tmp_path: Path) -> None:
    """They start servers of their own, on SQLite and on an empty database of PostgreSQL."""
    with cloned(postgresql_server, "template1") as url:
        own = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(Shell(tmp_path, instead={"postgresql://artemis@127.0.0.1/artemis": own})) as shell:
            assert_printed(shell, list(steps_of(OPERATOR)))


def assert_printed(shell: Shell, steps: list[Step]) -> None:
    """Raises if a step does not print what its page shows, or if there are no steps."""
    assert steps
    for step in steps:
        printed = same_in_every_run(shell.run(step))
        assert (printed if step.output is None else same_in_every_run(step.output)) == printed, step.source


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArtemisClient]:
    """A client of a server that has the rows of the page alone."""
    with (
        serving(tmp_path_factory.mktemp("filters") / "artemis.db") as server,
        ArtemisClient(server.target, timeout=PATIENCE) as made,
    ):
        for row in table_of(FILTERS, "user", "email"):
            made.users.create(User(email=row[1], first_name=row[2]))
        for row in table_of(FILTERS, "event", "name"):
            made.events.create(Event.from_message(ParseDict(_given(row), EventMessage())))
        yield made


def test_a_filter_chooses_the_events_that_the_page_says(listed: ArtemisClient) -> None:
    rows = table_of(FILTERS, "filter", "events")
    assert len(rows) > 30
    expected = {text: ids for text, ids, *_ in rows}
    assert expected == {text: _ids(listed.events.list(filter=text)) for text in expected}


def test_an_order_is_the_one_that_the_page_says(listed: ArtemisClient) -> None:
    expected = {text: ids for text, ids, *_ in table_of(FILTERS, "order_by", "events")}
    assert expected
    assert expected == {text: _ids(listed.events.list(order_by=text)) for text in expected}


def test_a_malformed_filter_gets_the_message_that_the_page_says(listed: ArtemisClient) -> None:
    expected = dict(table_of(FILTERS, "filter", "message"))
    assert expected
    assert expected == {text: _message(listed.events.list(filter=text)) for text in expected}


def test_a_malformed_order_gets_the_message_that_the_page_says(listed: ArtemisClient) -> None:
    expected = dict(table_of(FILTERS, "order_by", "message"))
    assert expected
    assert expected == {text: _message(listed.events.list(order_by=text)) for text in expected}


def _given(row: list[str]) -> dict[str, str]:
    """Returns the fields in a row of the table of events; an empty cell is a field that is not set."""
    names = ("name", "description", "category", "location", "start_time", "end_time", "owner_id")
    return {name: cell for name, cell in zip(names, row[1:], strict=True) if cell}


def _ids(events: Iterator[Event]) -> str:
    return ", ".join(str(event.id) for event in events) or "none"


def _message(events: Iterator[Event]) -> str:
    with pytest.raises(InvalidArgument) as raised:
        list(events)
    return raised.value.message
