"""The loader's rules are the contract's: the two agree on every value."""

from typing import Any

import protovalidate
import pytest
from artemis.v1.events_pb2 import Event
from artemis.v1.users_pb2 import User
from artemis_loader.convert.rules import EARLIEST, LATEST, all_faultless, fault, identity_fault
from artemis_loader.entities import ENTITIES, EXTERNAL_ID, Field
from google.protobuf.message import Message
from hypothesis import example, given, settings
from hypothesis import strategies as st

EVENTS, USERS = ENTITIES["events"], ENTITIES["users"]
VALIDATOR = protovalidate.Validator()
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])
"""Without those that Python's Unicode does not know: the contract's Unicode may be newer, and call them marks."""
ODD = st.sampled_from(
    "a \t\n\x00\x1f\x7f\x85\xa0\xad\u0301\u115f\u200b\u2028\u2800\u3000\u3164\ufe0f\ufeff\uffa0\U0001f600\U000e0100.@-"
)


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts of any kind, often blank or about as long as they may be."""
    lengths = st.integers(longest - 2, longest + 2)
    return st.one_of(
        st.text(CHARACTERS, max_size=10),
        st.text(ODD, max_size=4),
        st.builds(lambda length, character: character * length, lengths, CHARACTERS),
    )


NAMES = texts(200)
TIMES = st.one_of(
    st.integers(EARLIEST - 2, EARLIEST + 2), st.integers(LATEST - 2, LATEST + 2), st.integers(-3, 3), st.just(0)
)
LABELS = st.text(st.sampled_from("aZ9-._ \n\u00e9"), max_size=8)
EMAILS = st.one_of(
    st.emails(),
    texts(254),
    st.builds("{}@{}.{}".format, LABELS, LABELS, LABELS),
    st.builds(lambda length: f"a@{'b' * length}.c", st.integers(60, 66)),
    st.builds(lambda length: f"{'a' * length}@example.com", st.integers(240, 245)),
)


def violations(message: Message) -> list[protovalidate.Violation]:
    return VALIDATOR.collect_violations(message)


def event(values: tuple[Any, ...]) -> Event:
    message = Event()
    for column, value in zip(EVENTS.columns, values, strict=True):
        if isinstance(value, int):
            getattr(message, column).seconds, rest = divmod(value, 1_000_000)
            getattr(message, column).nanos = rest * 1000
        else:
            setattr(message, column, value)
    return message


def values_of(field: Field) -> st.SearchStrategy[Any]:
    """Values of a field, often about as long as they may be."""
    if field.rule == "email":
        return EMAILS
    return texts(field.max_length) if field.max_length else TIMES


EVENT_VALUES = st.tuples(*map(values_of, EVENTS.fields))
USER_VALUES = st.one_of(
    st.tuples(*map(values_of, USERS.fields)),
    st.tuples(EMAILS, *(st.just("") for _ in USERS.fields[1:])),
)
VALID = ("Expo", *("" if field.max_length else 0 for field in EVENTS.fields[1:]))


@settings(deadline=None)  # the machine may be busy
@given(EVENT_VALUES)
@example(VALID)
def test_an_event_is_valid_as_the_contract_has_it(values: tuple[Any, ...]) -> None:
    assert bool(violations(event(values))) is bool(fault(EVENTS, values))


@settings(deadline=None)  # the machine may be busy
@given(NAMES)
def test_a_name_is_blank_as_the_contract_has_it(name: str) -> None:
    values = (name, *VALID[1:])
    assert bool(violations(event(values))) is bool(fault(EVENTS, values))


@settings(deadline=None)  # the machine may be busy
@given(TIMES, TIMES)
def test_times_are_in_order_as_the_contract_has_it(start: int, end: int) -> None:
    values = (*VALID[:-2], start, end)
    assert bool(violations(event(values))) is bool(fault(EVENTS, values))


@settings(deadline=None)  # the machine may be busy
@given(USER_VALUES)
@example(("desk@example.com", "", ""))
@example(("desk@example.com\n", "", ""))
def test_a_user_is_valid_as_the_contract_has_it(values: tuple[Any, ...]) -> None:
    message = User(**dict(zip(USERS.columns, values, strict=True)))
    assert bool(violations(message)) is bool(fault(USERS, values))


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("name", "x" * 201, "name has 201 characters, more than 200"),
        ("name", "\U0001f600" * 200, ""),
        ("name", "", "name is blank"),
        ("name", " \u200b\u00a0", "name is blank"),
        ("description", "x" * 20_000_000, "description has 20000000 characters, more than 8192"),
        ("category", "a\0", "category contains U+0000"),
        ("location", "\udcff", "location is not valid Unicode"),
        ("publisher", "\u00e9" * 101, "publisher has 101 characters, more than 100"),
        ("start_time", EARLIEST - 1, "start_time is not within the years 1 to 9999"),
        ("end_time", LATEST + 1, "end_time is not within the years 1 to 9999"),
        ("end_time", -1, "end_time is before start_time"),
    ],
)
def test_a_fault_is_told(column: str, value: object, expected: str) -> None:
    values: list[object] = list(VALID)
    values[EVENTS.columns.index(column)] = value
    assert expected == fault(EVENTS, tuple(values))
    together = [[sound, each] for sound, each in zip(VALID, values, strict=True)]
    assert all_faultless(EVENTS, ["1", "2"], together) is not bool(expected)


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("", "email is missing"),
        ("a" * 243 + "@example.com", "email has 255 characters, more than 254"),
        ("a b@example.com", "email is not an e-mail address"),
    ],
)
def test_a_fault_of_an_address_is_told(email: str, expected: str) -> None:
    assert expected == fault(USERS, (email, "", ""))


IDS = st.one_of(texts(EXTERNAL_ID.max_length), st.just("\udcff"))
RECORDS = st.one_of(
    st.lists(st.tuples(IDS, EVENT_VALUES), max_size=3),
    st.lists(st.tuples(st.just("7"), st.just(VALID)), max_size=3),
)


@settings(deadline=None)  # the machine may be busy
@given(RECORDS)
def test_many_are_faultless_when_each_is(records: list[tuple[str, tuple[Any, ...]]]) -> None:
    columns = [[values[place] for _, values in records] for place in range(len(EVENTS.columns))]
    expected = not any(identity_fault(external_id) or fault(EVENTS, values) for external_id, values in records)
    assert expected is all_faultless(EVENTS, [external_id for external_id, _ in records], columns)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(EMAILS, max_size=3))
def test_many_addresses_are_faultless_when_each_is(emails: list[str]) -> None:
    blank = [""] * len(emails)
    expected = not any(fault(USERS, (email, "", "")) for email in emails)
    assert expected is all_faultless(USERS, ["7"] * len(emails), [emails, blank, blank])
