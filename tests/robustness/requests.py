"""Single requests of up to 4 MiB that are to cost much."""

from collections.abc import Callable

from artemis.v1 import events_pb2
from google.protobuf.message import Message

from tests.robustness.calls import code_of
from tests.robustness.victim import Victim

SIZE = 4 * 2**20 - 64
"""Bytes of the largest request that gRPC lets through by default."""
EVENTS = "/artemis.v1.EventService/"
TIMEOUT = 30.0


def field(number: int, payload: bytes) -> bytes:
    """Returns a field of protobuf with a length: `field(1, b"ab")` is 0a 02 61 62."""
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    """Returns an integer as protobuf writes it: 300 is ac 02."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def send(victim: Victim, method: str, body: bytes, expected: frozenset[str]) -> None:
    """Sends one request and expects one of some codes."""
    with victim.channel() as channel:
        call = channel.unary_unary(EVENTS + method, request_serializer=bytes, response_deserializer=bytes)
        code = code_of(lambda: call(body, timeout=TIMEOUT))
    victim.note(code=code)
    victim.expect(code in expected, f"the request was answered {code}, not {' or '.join(sorted(expected))}")


INVALID = frozenset({"INVALID_ARGUMENT"})


def batch_get(item: int) -> Callable[[Victim], None]:
    """Returns an attack: one BatchGetEvents with as many packed ids as fit, all the same."""
    each = varint(item)

    def attack(victim: Victim) -> None:
        send(victim, "BatchGetEvents", field(1, each * (victim.size(SIZE) // len(each))), INVALID)

    return attack


def batch_of_empty(method: str) -> Callable[[Victim], None]:
    """Returns an attack: one batch of as many empty requests as fit, two bytes each."""

    def attack(victim: Victim) -> None:
        send(victim, method, b"\x0a\x00" * (victim.size(SIZE) // 2), INVALID)

    return attack


def mask(victim: Victim) -> None:
    """Updates with a mask of a million paths that differ, none of which is a field."""
    paths = b"".join(field(1, b"%x" % number) for number in range(victim.size(520_000)))
    send(victim, "UpdateEvent", field(1, b"\x08\x01") + field(2, paths), INVALID)


def mask_of_known_paths(victim: Victim) -> None:
    """Updates with a mask that names one field over and over."""
    path = field(1, b"name")
    send(victim, "UpdateEvent", field(1, b"\x08\x01") + field(2, path * (victim.size(SIZE - 64) // len(path))), INVALID)


def unknown_fields(victim: Victim) -> None:
    """Gets with two million fields that the contract does not have: no request may have as many of any kind."""
    send(victim, "GetEvent", b"\x08\x01" + b"\x78\x01" * victim.size(SIZE // 2 - 8), INVALID)


def nested_groups(victim: Victim) -> None:
    """Gets with unknown groups, nested two million deep."""
    send(victim, "GetEvent", b"\x7b" * victim.size(SIZE), INVALID)


def long_texts(victim: Victim) -> None:
    """Sends texts of 4 MB in each field whose value an error might repeat: the status must fit into its 8 KiB."""
    long = "x" * victim.size(SIZE - 256)
    lists = events_pb2.ListEventsRequest
    requests: dict[str, tuple[str, Message]] = {
        "filter name": ("ListEvents", lists(filter=f'{long} = "a"')),
        "filter value": ("ListEvents", lists(filter=f"id = {long}")),
        "order_by": ("ListEvents", lists(order_by=long)),
        "page_token": ("ListEvents", lists(page_token=long)),
        "name": ("CreateEvent", events_pb2.CreateEventRequest(event=events_pb2.Event(name=long))),
        "request_id": ("DeleteEvent", events_pb2.DeleteEventRequest(id=1, request_id=long)),
        "etag": ("DeleteEvent", events_pb2.DeleteEventRequest(id=1, etag=long)),
    }
    for name, (method, request) in requests.items():
        send(victim, method, request.SerializeToString(), frozenset({"INVALID_ARGUMENT", "ABORTED", "NOT_FOUND"}))
        victim.expect("RESOURCE_EXHAUSTED" not in victim.notes["code"], f"{name}: the status was too large")


def many_violations(victim: Victim) -> None:
    """Creates 1,000 events that are wrong in every field: their violations must fit into one status."""
    wrong = events_pb2.CreateEventRequest(
        event=events_pb2.Event(name=" ", category="c" * 101, location="l" * 301, publisher="p" * 101, owner_id=-1),
        request_id="no",
    )
    batch = events_pb2.BatchCreateEventsRequest(requests=[wrong] * 1000)
    send(victim, "BatchCreateEvents", batch.SerializeToString(), INVALID)


def filters(text: Callable[[int], str]) -> Callable[[Victim], None]:
    """Returns an attack: ten lists with a filter of up to 1 MB that is to be expensive to parse."""

    def attack(victim: Victim) -> None:
        request = events_pb2.ListEventsRequest(filter=text(victim.size(1_000_000)))
        send(victim, "ListEvents", request.SerializeToString(), INVALID | {"RESOURCE_EXHAUSTED"})

    return attack
