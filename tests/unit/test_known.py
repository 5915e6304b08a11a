"""Answers that are found again: never stale, and no more than there is room for."""

import pytest
from artemis_server.rpc import known
from artemis_server.rpc.known import Known


def test_what_was_kept_is_found_under_its_identity_alone() -> None:
    answers = Known()
    answers.keep((1, 1, 5), b"one")
    assert answers.find_all([(1, 1, 5)]) == b"one"
    assert [answers.find_all([other]) for other in ((1, 2, 5), (1, 1, 6), (2, 1, 5))] == [None] * 3


def test_all_are_found_in_order_or_none() -> None:
    answers = Known()
    answers.keep((1, 1, 5), b"one")
    answers.keep((2, 1, 5), b"two")
    assert answers.find_all([(2, 1, 5), (1, 1, 5)]) == b"twoone"
    assert answers.find_all([]) == b""
    assert answers.find_all([(1, 1, 5), (3, 1, 5)]) is None


def test_what_is_full_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "MOST_BYTES", 10)
    monkeypatch.setattr(known, "MOST_ANSWERS", 3)
    answers = Known()
    for number in range(4):
        answers.keep((number, 1, 1), b"x")
    assert [answers.find_all([(number, 1, 1)]) for number in range(4)] == [None, None, None, b"x"]
    answers.keep((9, 1, 1), b"x" * 10)
    assert answers.find_all([(3, 1, 1)]) is None
    assert answers.find_all([(9, 1, 1)]) == b"x" * 10
