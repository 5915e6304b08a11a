"""Lines of JSON mean the same to the decoder that is quick as to the one that is usual."""

import json

import msgspec
import pytest
from artemis_loader.formats import json_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.depth import examples

NUMBERS = (
    "0",
    "-0",
    "-0.0",
    "1E5",
    "0.1",
    "1e400",
    "5e-324",
    "18446744073709551616",
    "-9223372036854775809",
    "9" * 400,
)
TEXTS = ("é", "京都", "🎉", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\u0000", "\\/", "\\\\", '\\"', "\x7f", "\u2028")
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(("true", "false", "null", "NaN", "-Infinity", *NUMBERS)),
        st.sampled_from(TEXTS).map('"{}"'.format),
        st.text(max_size=3).map(json.dumps),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from('ab"\\é'), inner), max_size=3).map(
            lambda pairs: f"{{{', '.join(f'{json.dumps(key, ensure_ascii=False)} : {value}' for key, value in pairs)}}}"
        ),
    ),
    max_leaves=6,
)
PIECES = st.sampled_from([*(bytes([code]) for code in range(128)), b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf"])
EDITS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1), PIECES), max_size=3)


def edited(text: str, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Returns the text with pieces put in at some places, or in the place of what is there."""
    data = text.encode("utf-8", "surrogatepass")
    for place, length, piece in edits:
        data = data[:place] + piece + data[place + length :]
    return data


@settings(deadline=None, max_examples=examples(500))  # the machine may be busy
@given(VALUES, EDITS, st.sampled_from(["", "\n", "\r\n", " \t"]))
@example('{"a": 1, "a": 2}', [], "\n")
def test_the_quick_decoder_takes_nothing_otherwise_than_the_usual_one(
    text: str, edits: list[tuple[int, int, bytes]], end: str
) -> None:
    data = edited(text + end, edits)
    assert repr(json_values.decode_any_line(data)) == repr(json_values.decode_line(data))


@settings(deadline=None, max_examples=examples(500))  # the machine may be busy
@given(VALUES, EDITS, st.sampled_from(["", "\n", "\r\n", " \t"]))
def test_a_line_that_can_be_used_is_json(text: str, edits: list[tuple[int, int, bytes]], end: str) -> None:
    data = edited(text + end, edits)
    value, reason = json_values.decode_any_line(data)
    if reason:
        with pytest.raises(ValueError):  # noqa: PT011, of several kinds
            json.loads(data.decode(), parse_constant=int)
    else:
        assert repr(json.loads(data.decode(), parse_int=json_values._digits)) == repr(value)


@pytest.mark.parametrize("text", ["1e400", '"\\ud800"', "9" * 5000, "[" * 5000, '{"a": NaN}'])
def test_what_the_quick_decoder_refuses_the_usual_one_decides(text: str) -> None:
    with pytest.raises((msgspec.MsgspecError, RecursionError)):
        msgspec.json.decode(text)
    assert json_values.decode_any_line(text.encode()) == json_values.decode_line(text.encode())


def test_a_usual_line_is_decoded_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: bytes) -> object:
        raise AssertionError

    monkeypatch.setattr(json_values, "decode_any_line", never)
    expected = {"a": [1, -2.5, "é", None, True, {}]}
    assert (expected, "") == json_values.decode_line(b'{"a": [1, -2.5, "\xc3\xa9", null, true, {}]}\r\n')
