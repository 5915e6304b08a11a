"""The loader's declarations, and everything that must be in step with them. A failure names the field or format."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest
from artemis_loader.config.reader import read_config
from artemis_loader.entities import ENTITIES, EXTERNAL_ID
from artemis_loader.feeds import FORMATS, Feed
from artemis_models import Base
from artemis_server.contract import writable_fields
from google.protobuf.message import Message
from sqlalchemy import BigInteger, Text

from tests.e2e import samples as e2e_samples
from tests.storage import samples as storage_samples

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "feeds.md").read_text(encoding="utf-8")
NOT_LOADED = {"owner_id": "the id of a user, which the database assigns; a feed maps the optional field owner instead"}
"""Fields that callers can set and that are no fields of every load, and why."""
SET_BY_THE_LOADER = {"id", "source", "external_id", "create_time", "update_time", "version"}
MODELS = {mapper.local_table.name: mapper.class_ for mapper in Base.registry.mappers}  # type: ignore[attr-defined]  # a Table
NAMES = sorted(ENTITIES)


def test_every_table_that_tells_its_source_is_an_entity() -> None:
    tables = {name for name, table in Base.metadata.tables.items() if {"source", "external_id"} <= set(table.c.keys())}
    assert tables - set(ENTITIES) == set(), "artemis_loader/entities.py does not declare these"


@pytest.mark.parametrize("name", NAMES)
def test_an_entity_has_the_columns_of_its_table(name: str) -> None:
    columns = set(ENTITIES[name].table.columns.keys()) - SET_BY_THE_LOADER - set(NOT_LOADED)
    fields = set(ENTITIES[name].columns)
    assert columns - fields == set(), f"artemis_loader/entities.py lacks columns of {name}"
    assert fields - columns == set(), f"the table {name} lacks fields of artemis_loader/entities.py"


@pytest.mark.parametrize("name", NAMES)
def test_an_optional_field_sets_a_column_that_no_load_sets_otherwise(name: str) -> None:
    for field in ENTITIES[name].optional:
        assert field.column in NOT_LOADED, f"{field.name} of {name}"
        assert ENTITIES[name].table.c[field.column].nullable, f"{field.name} of {name} is optional"


@pytest.mark.parametrize("name", NAMES)
def test_a_field_has_the_type_of_its_column(name: str) -> None:
    for field in ENTITIES[name].fields:
        kind = Text if field.max_length else BigInteger
        assert isinstance(ENTITIES[name].table.c[field.name].type, kind), f"{field.name} of {name}"


@pytest.mark.parametrize("name", NAMES)
def test_an_entity_has_the_fields_that_callers_can_set(name: str) -> None:
    message = getattr(import_module(f"artemis.v1.{name}_pb2"), MODELS[name].__name__)
    writable = set(writable_fields(message.DESCRIPTOR)) - set(NOT_LOADED)
    fields = set(ENTITIES[name].columns)
    assert writable - fields == set(), f"artemis_loader/entities.py lacks fields of the contract's {name}"
    assert fields - writable == set(), f"the contract lacks fields of {name} in artemis_loader/entities.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_time_is_required_and_the_end_of_another(name: str) -> None:
    fields = {field.name: field for field in ENTITIES[name].fields}
    for field in fields.values():
        assert field.required or field.max_length, f"{field.name} of {name} has no value when it is not mapped"
        assert not field.end_of or not fields[field.end_of].max_length


@pytest.mark.parametrize("name", NAMES)
def test_the_page_describes_every_field(name: str) -> None:
    rows = dict(re.findall(rf"^\| (?:`{name}`|every) \| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    described = (EXTERNAL_ID, *ENTITIES[name].fields, *ENTITIES[name].optional)
    for field in described:
        assert field.name in rows, f"docs/feeds.md does not describe the field {field.name} of {name}"
        assert field.required is ("required" in rows[field.name]), f"docs/feeds.md: {field.name} of {name}: required"
        kind = f"up to {field.max_length} characters" if field.max_length else "a time"
        assert kind in rows[field.name], f"docs/feeds.md: {field.name} of {name} is {kind}"
    assert set(rows) == {field.name for field in described}


def test_the_page_tells_the_calendar_key_of_each_field() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for field in (EXTERNAL_ID, *(field for name in NAMES for field in ENTITIES[name].fields if field.calendar_key)):
        found = [line for line in lines if f"`{field.calendar_key}`" in line and f"`{field.name}`" in line]
        assert found, f"docs/feeds.md does not tell that {field.name} comes from {field.calendar_key} of a calendar"


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_has_a_reader_and_options_of_a_feed(form: str) -> None:
    assert callable(resolve_name(FORMATS[form].reader))
    assert set(FORMATS[form].options) <= set(Feed.__dataclass_fields__)


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_is_described_and_has_a_sample(form: str) -> None:
    [line] = [line for line in PAGE.splitlines() if line.startswith("| `format` |") and "`jsonl`" in line]
    assert f"`{form}`" in line, f"docs/feeds.md does not name the format {form}"
    samples = [feed for path in (DOCS / "samples").glob("*.toml") for feed in read_config(path).feeds.values()]
    assert form in {feed.format for feed in samples}, f"docs/samples has no feed of the format {form}"


@pytest.mark.parametrize(
    "message",
    [storage_samples.new_event(), storage_samples.new_user(), e2e_samples.event_message(), e2e_samples.user_message()],
    ids=["storage event", "storage user", "e2e event", "e2e user"],
)
def test_a_sample_sets_every_field_that_callers_can_set(message: Message) -> None:
    fields = {field.name for field, _ in message.ListFields()}
    writable = set(writable_fields(message.DESCRIPTOR)) - set(NOT_LOADED)
    assert writable - fields == set(), "the sample lacks these fields"
