"""No request of 4 MiB costs more than half a second of CPU or 100 MiB, whatever it holds (docs/adr/0022)."""

import itertools
import subprocess
import sys

import pytest
from artemis.v1 import events_pb2
from artemis_server.contract import MAX_RESPONSE_BYTES
from artemis_server.db.batches import FRAME_BYTES, check_size
from artemis_server.errors import InvalidArgument

SECONDS, MEBIBYTES = 0.5, 100
PROGRAM = """
import resource, sys, time
from artemis.v1 import events_pb2
from artemis_server import requests
from artemis_server.errors import InvalidArgument
from artemis_server.rpc.status import status_of
from artemis_server.wire import bounded

kind, prefix, unit = sys.argv[1], bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
count = (4 * 2**20 - 100) // len(unit)
raw = unit * count
for number in reversed(prefix):  # each is the tag of the field that has the rest
    size, length = len(raw), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    raw = bytes([number]) + length + bytes([size]) + raw
parse = bounded(getattr(events_pb2, kind).FromString)
requests.validate(bounded(events_pb2.GetEventRequest.FromString)(bytes([8, 1])))
memory, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
try:
    requests.validate(parse(raw))
except InvalidArgument as error:
    status_of(error)
print(time.process_time() - begin, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024)
"""


@pytest.mark.parametrize(
    ("kind", "prefix", "unit"),
    [
        pytest.param("BatchGetEventsRequest", "0a", "00", id="packed ids"),
        pytest.param("BatchCreateEventsRequest", "", "0a00", id="empty requests", marks=pytest.mark.acceptance),
        pytest.param("BatchUpdateEventsRequest", "", "0a020a00", id="empty events", marks=pytest.mark.acceptance),
        pytest.param("UpdateEventRequest", "12", "0a0161", id="paths", marks=pytest.mark.acceptance),
        pytest.param("BatchCreateEventsRequest", "0a0a", "7b7c", id="unknown groups"),
        pytest.param("CreateEventRequest", "0a12", "c2a0", id="a blank name", marks=pytest.mark.acceptance),
    ],
)
def test_no_request_costs_more_than_its_share(kind: str, prefix: str, unit: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind, prefix, unit], capture_output=True, text=True, check=True
    )
    seconds, mebibytes = map(float, ended.stdout.split())
    assert seconds <= SECONDS
    assert mebibytes <= MEBIBYTES


def test_the_size_of_a_response_is_counted_no_further_than_the_limit() -> None:
    event = events_pb2.Event(description="x" * 8192)
    messages = itertools.repeat(event, 1000)
    with pytest.raises(InvalidArgument):
        check_size(messages, "ids")
    assert 1000 - len(list(messages)) == MAX_RESPONSE_BYTES // (event.ByteSize() + FRAME_BYTES) + 1
