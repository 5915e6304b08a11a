"""The benchmarks count and divide right: the load generator against a real server, the figures from made-up rates."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import grpc
import pytest

from tests.benchmarks.chart import draw
from tests.benchmarks.figures import Figure, document, spread, table
from tests.benchmarks.load import FRAME, Connection, Load, LoadError, Rate, frame, headers
from tests.benchmarks.methods import METHODS

TITLE = "BatchCreate, 2 callers"


def figure(title: str = TITLE, engine: str = "sqlite") -> Figure:
    return Figure(
        engine=engine,
        title=title,
        rates=[Rate(100, 0.004), Rate(200, 0.002), Rate(300, 0.001)],
        noop=[Rate(200, 0.001), Rate(250, 0.001), Rate(300, 0.001)],
        unpinned=[Rate(50, 0.004), Rate(200, 0.002), Rate(150, 0.001)],
    )


def test_a_ratio_is_made_within_a_round() -> None:
    measured = figure()
    assert measured.share(measured.noop) == [0.5, 0.8, 1.0]
    assert measured.processor_share(measured.noop) == [0.25, 0.5, 1.0]
    assert measured.unpinned_share() == [0.5, 1.0, 0.5]


def test_what_was_not_measured_has_no_ratio() -> None:
    assert figure().share([]) == []
    assert spread([]) is None


def test_rounds_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        figure().share([Rate(1, 1)])


def test_every_round_stands_beside_median_and_range() -> None:
    assert spread([3, 1, 8]) == {"median": 3, "min": 1, "max": 8, "rounds": [3, 1, 8]}


def test_the_document_has_ratios_of_calls_and_of_processor_time_and_no_path() -> None:
    written = document([figure()], 2)
    assert set(written["machine"]) == {"cores", "architecture", "python"}
    (row,) = written["figures"]
    assert row["calls_per_second_to_noop"]["median"] == 0.8
    assert row["noop_processor_to_processor"]["median"] == 0.5
    assert row["unpinned_calls_per_second_to_pinned"]["median"] == 0.5
    assert row["server"]["processor_microseconds"]["rounds"] == [4000, 2000, 1000]


def test_the_table_shows_batches_in_events_per_second() -> None:
    assert "200,000" in table([figure()])


def test_the_chart_has_a_bar_for_each_figure_and_says_its_units() -> None:
    figures = [figure(title, engine) for title in METHODS for engine in ("sqlite", "postgresql")]
    texts = [element.text or "" for element in ElementTree.fromstring(draw(figures)).iter() if element.text]  # noqa: S314, ours
    assert [text for text in texts if text in METHODS] == list(METHODS)
    assert sum("events/s" in text for text in texts) == 2
    assert sum(text.endswith("calls/s") for text in texts) == len(figures) - 2
    assert any("higher is better" in text for text in texts)
    assert {"0.00", "0.50", "1.00"} <= set(texts)


def test_a_frame_begins_with_length_type_flags_and_stream() -> None:
    assert frame(1, 4, 3, b"x" * 70_000)[: FRAME.size] == b"\x01\x11\x70\x01\x04\x00\x00\x00\x03"


def test_later_calls_name_their_headers_by_index() -> None:
    first, later = headers(50051, "/a")
    assert first.startswith(b"\x83\x86\x40\x05:path\x02/a")
    assert later == b"\x83\x86\xc1\xc0\xbf\xbe"


@pytest.fixture
def port() -> Iterator[int]:
    """A server whose method returns its request ten times over, and fails when the request is empty."""

    def repeat(request: bytes, context: grpc.ServicerContext) -> bytes:
        if not request:
            context.abort(grpc.StatusCode.UNAVAILABLE, "empty")
        return request * 10

    server = grpc.server(ThreadPoolExecutor(2))
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Repeat": grpc.unary_unary_rpc_method_handler(repeat)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    free = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield free
    server.stop(None).wait()


def test_every_call_is_counted_when_bodies_exceed_the_windows_of_flow_control(port: int) -> None:
    bodies = iter([b"x" * 300_000] * 20)
    load = Load([Connection(port, "/test/Repeat") for _ in range(2)], bodies, concurrent=4)
    assert load.run(seconds=60) == 20
    load.finish()


def test_a_call_that_fails_ends_the_measurement(port: int) -> None:
    connection = Connection(port, "/test/Repeat")
    load = Load([connection], iter([b"x", b"", b"x"]), concurrent=1)
    with pytest.raises(LoadError, match="a call failed"):
        load.run(seconds=60)
    connection.socket.close()
