"""Pages: how large they are, and tokens that nobody else can make."""

import base64
import hashlib
import hmac
import json
import string
from concurrent.futures import ThreadPoolExecutor

import pytest
from artemis_server.errors import InvalidArgument
from artemis_server.rpc import pages
from artemis_server.rpc.pages import PageTokens
from hypothesis import assume, given
from hypothesis import strategies as st

TOKENS = PageTokens(lambda: b"k" * 32)
POSITIONS = st.integers(1, 2**63 - 1).map(str)


@pytest.mark.parametrize(
    ("requested", "expected"), [(0, 50), (1, 1), (50, 50), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_a_page_holds_what_was_asked_for_within_limits(requested: int, expected: int) -> None:
    assert expected == pages.page_size(requested)


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_a_token_gives_its_position_back(position: str, listing: str) -> None:
    assert position == TOKENS.decode(TOKENS.encode(position, listing), listing)


@given(POSITIONS)
def test_a_token_is_text_that_urls_can_hold(position: str) -> None:
    token = TOKENS.encode(position, "event")
    assert token
    assert token == "".join(each for each in token if each.isascii() and (each.isalnum() or each in "-_"))


def refuse(token: str, listing: str = "event") -> InvalidArgument:
    """Returns the error with which the token is refused."""
    with pytest.raises(InvalidArgument) as caught:
        TOKENS.decode(token, listing)
    return caught.value


@given(POSITIONS, st.data())
def test_a_token_with_any_bit_flipped_is_refused(position: str, data: st.DataObject) -> None:
    token = TOKENS.encode(position, "event")
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    refuse(base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("="))


@given(POSITIONS, st.data())
def test_a_token_with_any_character_changed_is_refused(position: str, data: st.DataObject) -> None:
    token = TOKENS.encode(position, "event")
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8"))
    assume(other != token[index])
    refuse(token[:index] + other + token[index + 1 :])


@given(POSITIONS, st.data())
def test_a_token_cut_short_is_refused(position: str, data: st.DataObject) -> None:
    token = TOKENS.encode(position, "event")
    refuse(token[: data.draw(st.integers(0, len(token) - 1))])


@given(POSITIONS, st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_token_with_anything_added_is_refused(position: str, added: str) -> None:
    refuse(TOKENS.encode(position, "event") + added)


@pytest.mark.parametrize("position", ["1", "12", "123"])
def test_another_spelling_of_the_same_bytes_is_refused(position: str) -> None:
    """Padding that was left out, and in base64's last character bits that stand for nothing."""
    token = TOKENS.encode(position, "event")
    padding = "=" * (-len(token) % 4)
    raw = base64.urlsafe_b64decode(token + padding)
    respelled = (token[:-1] + last for last in string.ascii_letters + string.digits if last != token[-1])
    same = [other for other in respelled if base64.urlsafe_b64decode(other + padding) == raw]
    assert bool(padding) == bool(same)
    for other in (*same, token + "=", token + "\n"):
        refuse(other)


@given(POSITIONS, st.text(st.characters(codec="utf-8")))
def test_a_token_of_another_list_is_refused(position: str, listing: str) -> None:
    assume(listing != "event")
    refuse(TOKENS.encode(position, "event"), listing)


@given(st.text(st.characters(codec="utf-8"), max_size=4), st.text(st.characters(codec="utf-8"), max_size=4))
def test_position_and_list_cannot_be_shifted_into_each_other(position: str, listing: str) -> None:
    """The position and the list are authenticated apart from each other."""
    assume(position)
    shifted = TOKENS.encode(position[:-1], position[-1] + listing)
    raw = base64.urlsafe_b64decode(shifted + "=" * (-len(shifted) % 4))
    forged = base64.urlsafe_b64encode(raw + position[-1].encode()).decode().rstrip("=")
    refuse(forged, listing)


@given(st.text(st.characters(codec="utf-8")))
def test_garbage_is_refused(text: str) -> None:
    refuse(text)


@given(st.binary())
def test_garbage_in_base64_is_refused(raw: bytes) -> None:
    refuse(base64.urlsafe_b64encode(raw).decode().rstrip("="))


def test_a_token_of_another_key_is_refused() -> None:
    refuse(PageTokens(lambda: b"x" * 32).encode("1", "event"))


@pytest.mark.parametrize("position", [["Kyoto Jazz Night", 2**40], [1795478400000000, 2**50], [None, 2**62]])
def test_a_token_shows_no_sort_value(position: list[int | str | None]) -> None:
    token = TOKENS.encode(position, "event")
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

    assert [value for value in position if json.dumps(value).strip('"').encode() in raw] == []
    assert position == TOKENS.decode(token, "event")


def test_two_tokens_of_a_position_differ_and_are_both_good() -> None:
    tokens = {TOKENS.encode([17], "event") for _ in range(10)}

    assert len(tokens) == 10
    assert [TOKENS.decode(token, "event") for token in tokens] == [[17]] * 10


def test_a_token_from_before_tokens_were_encrypted_is_refused() -> None:
    payload = b'["Kyoto",17]'
    signature = hmac.digest(b"k" * 32, len(payload).to_bytes(4, "big") + payload + b"event", hashlib.sha256)[:16]
    error = refuse(base64.urlsafe_b64encode(signature + payload).decode().rstrip("="))

    assert error.reason == "INVALID_PAGE_TOKEN"


def test_many_threads_share_the_tokens() -> None:
    tokens = PageTokens(lambda: b"k" * 32)

    def there_and_back(number: int) -> bool:
        return [number] == tokens.decode(tokens.encode([number], f"list {number}"), f"list {number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(2000)))


def test_servers_that_share_the_key_take_each_others_tokens() -> None:
    other = PageTokens(lambda: b"k" * 32)
    assert TOKENS.decode(other.encode("17", "event"), "event") == "17"


def test_the_error_blames_the_field_and_does_not_quote_the_token() -> None:
    error = refuse("c2VjcmV0")
    assert error.reason == "INVALID_PAGE_TOKEN"
    assert [violation.field for violation in error.violations] == ["page_token"]
    assert "c2VjcmV0" not in error.message


def test_the_key_is_read_once_and_not_before_it_is_needed() -> None:
    reads: list[None] = []

    def key() -> bytes:
        reads.append(None)
        return b"k" * 32

    tokens = PageTokens(key)
    assert len(reads) == 0
    tokens.decode(tokens.encode("1", "event"), "event")
    assert len(reads) == 1
