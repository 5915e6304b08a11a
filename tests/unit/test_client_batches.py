"""Batches: every item is in one part, in order, and each part is small enough and has its own request id."""

import pickle
from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

import grpc
import pytest
from artemis.v1.events_pb2 import BatchCreateEventsRequest, BatchDeleteEventsRequest, CreateEventRequest, Event
from artemis_client import InvalidArgument, NotFound
from artemis_client.batches import MAX_BYTES, MAX_ITEMS, Parts
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import examples

ID = "7f2c1c64-6f1d-4c5e-9d0a-0b8a1f3e5d21"
TOO_LARGE = InvalidArgument(
    grpc.StatusCode.INVALID_ARGUMENT, "requests: too large", [ErrorInfo(reason="RESPONSE_TOO_LARGE")]
)


def create(requests: Sequence[CreateEventRequest], request_id: str) -> BatchCreateEventsRequest:
    return BatchCreateEventsRequest(requests=requests, request_id=request_id)


def sized(sizes: list[int]) -> list[CreateEventRequest]:
    """Returns requests that are told apart by their id, with descriptions of these sizes."""
    return [CreateEventRequest(event=Event(id=number, description="d" * size)) for number, size in enumerate(sizes, 1)]


def all_of(parts: Parts[Any, Any]) -> list[Any]:
    """Returns the requests of all parts."""
    requests = []
    while parts.current:
        requests.append(parts.request())
        parts.advance()
    return requests


def ids(requests: list[BatchCreateEventsRequest]) -> list[list[int]]:
    return [[each.event.id for each in request.requests] for request in requests]


def test_an_empty_batch_has_no_part() -> None:
    assert not Parts([], create).current


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])]
)
def test_a_part_has_1000_items_at_most(count: int, expected: list[int]) -> None:
    requests = all_of(Parts(sized([0] * count), create))
    assert [len(each.requests) for each in requests] == expected
    assert [number for part in ids(requests) for number in part] == list(range(1, count + 1))


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.integers(0, 2 * MAX_BYTES) | st.integers(0, 40_000), max_size=60))
def test_a_part_is_small_enough_or_has_one_item(sizes: list[int]) -> None:
    requests = all_of(Parts(sized(sizes), create))
    assert [number for part in ids(requests) for number in part] == list(range(1, len(sizes) + 1))
    assert all(each.ByteSize() <= MAX_BYTES + 40 or len(each.requests) == 1 for each in requests)
    for before, after in pairwise(requests):
        assert before.ByteSize() + after.requests[0].ByteSize() + 64 * (len(before.requests) + 1) > MAX_BYTES


def test_a_batch_of_one_part_has_the_id_of_the_batch() -> None:
    assert [each.request_id for each in all_of(Parts(sized([0] * 1000), create, ID))] == [ID]


def test_each_part_of_several_has_an_id_of_its_own_that_is_the_same_every_time() -> None:
    first, again = ([each.request_id for each in all_of(Parts(sized([0] * 3000), create, ID))] for _ in range(2))
    other = [each.request_id for each in all_of(Parts(sized([0] * 3000), create))]
    assert first == again
    assert len({ID, *first, *other}) == 7
    assert {UUID(each).version for each in first} == {4}


def test_an_id_that_is_no_uuid_is_refused_when_it_has_to_be_divided() -> None:
    assert Parts(sized([0]), create, "x").request().request_id == "x"
    with pytest.raises(ValueError, match="request_id must be a UUID, not 'x'"):
        Parts(sized([0] * 1001), create, "x").request()


def test_a_part_with_too_large_a_response_is_divided_and_so_are_the_next_ones() -> None:
    parts = Parts(range(2500), lambda _, request_id: BatchDeleteEventsRequest(request_id=request_id))
    whole = parts.request().request_id
    seen = []
    assert parts.divide(TOO_LARGE)
    assert parts.request().request_id != whole
    assert parts.divide(TOO_LARGE)
    while parts.current:
        seen.append(parts.current)
        parts.advance()
    assert seen == [range(start, start + 250) for start in range(0, 2500, 250)]


def test_a_part_is_not_divided_if_that_does_not_help_or_could_not_be_repeated() -> None:
    one, own, two = (Parts(range(count), create, own) for count, own in ((1, ""), (2, ID), (2, "")))  # type: ignore[arg-type]
    assert not one.divide(TOO_LARGE)
    assert not own.divide(TOO_LARGE)
    assert not two.divide(NotFound(grpc.StatusCode.NOT_FOUND, "no"))
    assert two.divide(TOO_LARGE)


def test_an_error_tells_what_is_done_and_counts_from_the_first_item_of_the_batch() -> None:
    parts = Parts(sized([0] * (2 * MAX_ITEMS + 5)), create)
    parts.advance()
    path = "requests[3].event.name"
    bad = BadRequest(field_violations=[{"field": path, "description": "must not be blank"}])
    error = InvalidArgument(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"{path}: must not be blank; ids[0]",
        [ErrorInfo(reason="X", metadata={"field": path}), bad],
        "r1",
    )
    parts.locate(error, ["a", "b"])
    for each in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert isinstance(each, InvalidArgument)
        assert (each.done, each.items, each.request_id) == (("a", "b"), range(1000, 2000), "r1")
        assert each.message == "requests[1003].event.name: must not be blank; ids[1000]"
        assert str(each) == f"INVALID_ARGUMENT: {each.message}"
        assert [violation.field for violation in each.violations] == ["requests[1003].event.name"]
        assert each.metadata == {"field": "requests[1003].event.name"}
    assert bad.field_violations[0].field == path
