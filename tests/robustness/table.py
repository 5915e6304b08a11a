"""The table of the attacks: what each does, and what it may do to the server and to others at most."""

from collections.abc import Callable

from tests.robustness import floods, outages, requests, streams, work
from tests.robustness.runner import BUSY, Attack, Bounds
from tests.robustness.victim import Victim

ONE_REQUEST = Bounds(memory=100, processor=0.7, p99=0.7)
"""No single request costs more than 0.5 s of processor time; the innocent caller costs the rest."""
STOPS = 20
"""Stops of the long form."""
LISTS = Bounds(memory=200, p99=0.1, get=0.05)
"""While 64 lists run, Get's p99 stays within 50 ms, and health answers within 100 ms."""
FRAMES = Bounds(memory=200)
"""gRPC's core holds 100 to 130 MiB while it reads such frames of one connection. Python and its threads hold none."""
UPLOADS = Bounds(memory=300, innocent=BUSY)
CONNECTIONS = Bounds(memory=300, connect=False)
"""New connections may be refused while somebody holds thousands; those that are open go on."""


def _request(name: str, does: str, attack: Callable[[Victim], None], *, short: bool = False) -> Attack:
    return Attack(name=name, does=does, attack=attack, bounds=ONE_REQUEST, short=short)


ATTACKS = (
    _request("batch-get-zeros", "one BatchGet with 4 million ids, all 0", requests.batch_get(0), short=True),
    _request("batch-get-same", "one BatchGet with 4 million ids, all 1", requests.batch_get(1), short=True),
    *(
        _request(
            f"batch-{method.lower()}-empty",
            f"one Batch{method}Events of 2 million empty requests",
            requests.batch_of_empty(f"Batch{method}Events"),
            short=True,
        )
        for method in ("Create", "Update", "Delete")
    ),
    _request("mask-unknown", "an update whose mask has half a million unknown paths", requests.mask, short=True),
    _request(
        "mask-known", "an update whose mask names a field 700,000 times", requests.mask_of_known_paths, short=True
    ),
    _request("unknown-fields", "a get with two million unknown fields", requests.unknown_fields, short=True),
    _request("nested-groups", "a get with groups nested four million deep", requests.nested_groups, short=True),
    Attack(
        name="long-texts",
        does="texts of 4 MB where an error might repeat them",
        attack=requests.long_texts,
        bounds=Bounds(memory=100, processor=3.5),
        short=True,
    ),
    _request("many-violations", "1,000 items, wrong in every field", requests.many_violations, short=True),
    _request("filter-parentheses", "a filter of nested parentheses", requests.filters(lambda n: "(" * n), short=True),
    _request("filter-not", "a filter of nested NOT", requests.filters(lambda n: "NOT " * (n // 4) + "id = 1")),
    _request("filter-minus", "a filter of minus signs", requests.filters(lambda n: "-" * n + "id = 1")),
    _request(
        "filter-long", "a filter of restrictions", requests.filters(lambda n: " OR ".join(["id = 1"] * (n // 10)))
    ),
    _request("filter-string", "a filter of one string", requests.filters(lambda n: f'name:"{"a" * n}'), short=True),
    _request("filter-wildcards", "a filter of stars", requests.filters(lambda n: f'name="{"*" * n}"')),
    _request("order-by", "an order of many fields", requests.filters(lambda n: "name," * (n // 5))),
    *(
        Attack(
            name=f"headers-only-{count}",
            does=f"{count} streams that send headers and no message",
            attack=streams.headers_only(count),
            bounds=Bounds(innocent=BUSY) if count > 100 else Bounds(),
            short=count == 72,
        )
        for count in (8, 72, 512, 2000)
    ),
    Attack(
        name="headers-only-connections",
        does="500 connections with one such stream each",
        attack=streams.headers_only_on_connections,
        bounds=Bounds(innocent=BUSY),
    ),
    Attack(
        name="half-a-message",
        does="500 streams that send half of a message",
        attack=streams.half_a_message,
        bounds=Bounds(innocent=BUSY),
    ),
    Attack(
        name="large-halves", does="500 streams with 4 MB but for a byte", attack=streams.large_halves, bounds=UPLOADS
    ),
    Attack(
        name="patient-halves",
        does="1,000 streams with 4 MB but for a byte, as fast as the server takes them",
        attack=streams.patient_halves,
        bounds=UPLOADS,
    ),
    Attack(
        name="padded-gets",
        does="200 gets with an unknown field of 4 MB, whose answers are not read",
        attack=streams.padded_gets,
        bounds=UPLOADS,
    ),
    Attack(
        name="padded-lists",
        does="64 slow lists with an unknown field of 4 MB, which wait for a thread",
        attack=streams.padded_lists,
        bounds=UPLOADS,
    ),
    Attack(name="slow-body", does="200 messages sent byte by byte", attack=streams.slow_body),
    Attack(name="slow-headers", does="headers sent byte by byte", attack=streams.slow_headers, short=True),
    Attack(name="no-preface", does="2,000 connections that say nothing", attack=streams.no_preface, bounds=CONNECTIONS),
    Attack(name="idle", does="5,000 connections without a call", attack=streams.idle, bounds=CONNECTIONS),
    Attack(
        name="idle-few-descriptors",
        does="2,000 connections to a server that may have 1,024 descriptors",
        attack=streams.idle_with_few_descriptors,
        bounds=CONNECTIONS,
        fresh=True,
    ),
    Attack(
        name="watchers-unread",
        does="50 watches of the health that accept no byte",
        attack=streams.watchers_that_do_not_read,
        short=True,
    ),
    Attack(
        name="malformed-watches",
        does="bytes that are no message, sent to the health",
        attack=streams.malformed_watches,
        bounds=Bounds(log=4),
        short=True,
    ),
    Attack(name="watched-names", does="3,000 watches of unknown names", attack=streams.watched_names(3000, 100)),
    Attack(
        name="watched-long-names",
        does="100 watches of names of 2 MiB",
        attack=streams.watched_names(100, streams.NAME),
    ),
    Attack(
        name="watch-and-leave", does="200 names of 2 MiB watched and left", attack=streams.watch_and_leave, short=True
    ),
    Attack(name="many-watchers", does="10,000 watches", attack=streams.many_watchers),
    *(
        Attack(
            name=f"in-flight-{count}",
            does=f"{count:,} calls at once",
            attack=streams.in_flight(count),
            bounds=Bounds(innocent=BUSY, memory=200, p99=1.0),
            short=count == 2000,
        )
        for count in (2000, 5000)
    ),
    Attack(
        name="rapid-resets",
        does="calls that are reset at once (CVE-2023-44487)",
        attack=streams.rapid_resets,
        short=True,
    ),
    Attack(name="rapid-resets-creates", does="creates that are reset", attack=streams.rapid_resets_of_creates),
    Attack(
        name="unread-streams",
        does="30,000 calls on one connection whose answers are not read",
        attack=streams.unread_streams,
        bounds=Bounds(innocent=BUSY),
    ),
    Attack(name="unread-pages", does="2,000 large pages that are not read", attack=streams.unread_pages, bounds=LISTS),
    Attack(name="pings", does="a flood of pings", attack=floods.PINGS, short=True),
    Attack(name="pings-unread", does="a flood of pings whose answers are not read", attack=floods.pings_unread),
    Attack(name="settings", does="a flood of settings", attack=floods.SETTINGS_FLOOD),
    Attack(name="settings-empty", does="a flood of empty settings", attack=floods.EMPTY_SETTINGS),
    Attack(name="window-updates", does="a flood of window updates", attack=floods.WINDOW_UPDATES),
    Attack(name="priorities", does="a flood of priorities", attack=floods.PRIORITIES),
    Attack(name="data-empty", does="a flood of empty data", attack=floods.EMPTY_DATA),
    Attack(name="unknown-frames", does="a flood of frames of an unknown kind", attack=floods.UNKNOWN_FRAMES),
    Attack(name="continuations", does="headers that never end", attack=floods.continuations),
    Attack(name="continuations-empty", does="empty CONTINUATION frames", attack=floods.empty_continuations),
    Attack(name="hpack-bomb", does="16 KB that stand for 64 MB of headers", attack=floods.hpack_bomb, bounds=FRAMES),
    Attack(
        name="hpack-bomb-unacknowledged",
        does="300 open calls with 4 to 10 MB of headers each, before the client acknowledges their limit",
        attack=floods.hpack_bomb_unacknowledged,
        bounds=FRAMES,
    ),
    Attack(name="hpack-tables", does="tables that change, and long integers", attack=floods.hpack_tables),
    Attack(name="long-headers", does="1 MB of headers", attack=floods.long_headers),
    Attack(
        name="metadata", does="500 open calls of 7 KB of headers", attack=floods.metadata, bounds=Bounds(innocent=BUSY)
    ),
    Attack(name="gzip-bomb", does="1 MB that inflates to 1 GB", attack=floods.gzip_bomb),
    Attack(
        name="goaways",
        does="goodbyes with a text that looks like log lines",
        attack=floods.goaways,
        bounds=FRAMES,
        short=True,
    ),
    Attack(name="encodings", does="calls whose headers gRPC reports in its log", attack=floods.encodings),
    Attack(name="bad-messages", does="message prefixes that lie", attack=floods.bad_messages, short=True),
    Attack(name="random-bytes", does="random bytes and frames", attack=floods.random_bytes, short=True),
    Attack(name="other-protocols", does="HTTP/1.1, TLS, SSH", attack=floods.other_protocols),
    Attack(
        name="unknown-methods",
        does="20,000 methods that do not exist",
        attack=floods.names(lambda number: f"/artemis.v1.EventService/Method{number}", 20_000),
        bounds=Bounds(memory=60),
        short=True,
    ),
    Attack(
        name="unknown-services",
        does="20,000 services that do not exist, with long names",
        attack=floods.names(lambda number: f"/s{number}{'x' * 2000}/Get", 20_000),
        bounds=Bounds(memory=60),
    ),
    Attack(
        name="path-traversal",
        does="methods such as ../../etc/passwd",
        attack=floods.names(lambda number: f"/artemis.v1.EventService/../{'../' * (number % 50)}etc/passwd%00", 2_000),
    ),
    Attack(name="reflection-streams", does="streams of reflection that ask nothing", attack=floods.reflection_streams),
    Attack(name="reflection-questions", does="a flood of questions", attack=floods.reflection_questions),
    Attack(name="reflection-symbols", does="symbols of 4 MB", attack=floods.long_symbols),
    Attack(
        name="quadratic-search",
        does="64 callers of a text search whose naive form is quadratic",
        attack=work.lists(work.SEARCHES[0], 400),
        bounds=LISTS,
    ),
    Attack(
        name="many-searches",
        does="64 callers with 20 searches in a filter",
        attack=work.lists(work.SLOW, 400),
        bounds=LISTS,
    ),
    Attack(
        name="many-restrictions", does="new filters of 50 restrictions", attack=work.many_restrictions, bounds=LISTS
    ),
    Attack(name="batch-of-one", does="one event of 32 KiB a thousand times", attack=work.batch_of_one, bounds=LISTS),
    Attack(name="large-pages", does="pages of 3 MiB for 64 callers", attack=work.large_pages, bounds=LISTS),
    Attack(
        name="slow-lists-and-writes",
        does="creates while slow lists hold snapshots",
        attack=work.writes_under_slow_lists,
        bounds=Bounds(memory=300, p99=0.5),
    ),
    Attack(
        name="overload",
        does="ten times as many callers as load it fully",
        attack=work.overload(640),
        bounds=Bounds(innocent=BUSY, p99=0.5),
        fresh=True,
    ),
    Attack(
        name="stop-with-lists",
        does="SIGTERM with 72 slow lists",
        attack=outages.stop_with_lists,
        short=True,
        fresh=True,
        repeats=STOPS,
        ends=True,
    ),
    Attack(
        name="stop-under-load",
        does="SIGTERM under 64 callers",
        attack=outages.stop_under_load,
        fresh=True,
        repeats=STOPS,
        ends=True,
    ),
    Attack(
        name="stop-with-watchers",
        does="SIGTERM with watches that do not read",
        attack=outages.stop_with_watchers,
        fresh=True,
        ends=True,
    ),
    Attack(
        name="workers-killed",
        does="kill -9 of a worker of two every 2 seconds, ten times",
        attack=outages.kill_workers,
        fresh=True,
        flags=("--workers", "2"),
        ends=True,
    ),
    Attack(
        name="files-deleted",
        does="deletes the files",
        attack=outages.files_deleted,
        short=True,
        fresh=True,
        ends=True,
    ),
    Attack(
        name="database-away",
        does="16 callers while PostgreSQL is stopped",
        attack=outages.absent_database,
        fresh=True,
        ends=True,
        engine="postgresql",
    ),
)
"""Every attack. The short form has those that end soon and whose bounds hold on a busy machine."""
