"""Etags: a version there and back, and nothing else."""

import base64

import pytest
from artemis_server.db import etags
from hypothesis import example, given
from hypothesis import strategies as st

VERSIONS = st.integers(0, 2**63 - 1)


@given(VERSIONS)
def test_every_version_comes_back(version: int) -> None:
    assert version == etags.to_version(etags.from_version(version))


@given(VERSIONS, VERSIONS)
def test_versions_that_differ_have_etags_that_differ(one: int, other: int) -> None:
    assert (one == other) == (etags.from_version(one) == etags.from_version(other))


@given(st.text())
@example("AAAAAAAAAAE")
@example("AAAAAAAAAAE=\n")
@example("AAAAAAAAAAF=")
@example("AAAAAAAAAAE==")
@example("AAAAAAAAAAE=====")
def test_text_that_was_no_etag_has_no_version(text: str) -> None:
    version = etags.to_version(text)
    assert version == etags.NO_VERSION or text == etags.from_version(version)


@given(VERSIONS, st.text(min_size=1))
def test_an_etag_with_anything_added_has_no_version(version: int, added: str) -> None:
    assert etags.to_version(etags.from_version(version) + added) == etags.NO_VERSION


@given(st.binary())
def test_bytes_in_base64_have_no_version_unless_there_are_eight(raw: bytes) -> None:
    text = base64.urlsafe_b64encode(raw).decode()
    expected = int.from_bytes(raw, "big") if len(raw) == 8 and raw[0] < 128 else etags.NO_VERSION
    assert expected == etags.to_version(text)


@pytest.mark.parametrize("version", [2**63, 2**64 - 1])
def test_a_version_that_no_row_can_have_is_none(version: int) -> None:
    assert etags.to_version(etags.from_version(version)) == etags.NO_VERSION


@pytest.mark.parametrize("text", ["", "0", "*", "é", "🍰", "null", "AAAA", "A" * 10_000, "++++++++++8="])
def test_garbage_has_no_version(text: str) -> None:
    assert etags.to_version(text) == etags.NO_VERSION
