"""The trace context that the client sends for a program that traces itself with OpenTelemetry."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from artemis_client import ArtemisClient
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from tests.architecture.test_surfaces import run_without
from tests.e2e.guard import Guard, guarding
from tests.e2e.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("each_client")
TRACE, SPAN = 0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331
PARENT = f"00-{TRACE:032x}-{SPAN:016x}-01"
PROGRAM = """
import sys
from artemis_client import ArtemisClient

with ArtemisClient({target!r}) as client:
    client.events.get(1)
print([name for name, module in sys.modules.items() if name.startswith("opentelemetry") and module])
"""


@pytest.fixture
def guard() -> Iterator[Guard]:
    with guarding("", "fresh") as guard:
        yield guard


def span(flags: int = TraceFlags.SAMPLED, state: TraceState | None = None) -> trace.Span:
    return NonRecordingSpan(SpanContext(TRACE, SPAN, is_remote=False, trace_flags=TraceFlags(flags), trace_state=state))


def sent(guard: Guard) -> list[tuple[object, object]]:
    """Returns the trace context of the calls that arrived."""
    return [(call.metadata.get("traceparent"), call.metadata.get("tracestate")) for call in guard.calls]


def test_a_call_belongs_to_the_current_span(guard: Guard) -> None:
    with ArtemisClient(guard.target) as client, trace.use_span(span(state=TraceState([("vendor", "a")]))):
        client.events.get(1)
        client.users.get(1)

    assert sent(guard) == [(PARENT, "vendor=a")] * 2


def test_a_span_that_is_not_sampled_is_told_as_such(guard: Guard) -> None:
    with ArtemisClient(guard.target) as client, trace.use_span(span(flags=TraceFlags.DEFAULT)):
        client.events.get(1)

    assert sent(guard) == [(PARENT[:-1] + "0", None)]


def test_a_call_outside_of_a_span_has_no_trace_context(guard: Guard) -> None:
    """Also that of another thread."""
    with ArtemisClient(guard.target) as client, ThreadPoolExecutor(1) as pool:
        client.events.get(1)
        with trace.use_span(span()):
            pool.submit(client.events.get, 1).result(PATIENCE)

    assert sent(guard) == [(None, None)] * 2


def test_a_call_with_a_token_has_both(guard: Guard) -> None:
    with ArtemisClient(guard.target, token="fresh") as client, trace.use_span(span()):
        client.events.get(1)

    assert (guard.seen, sent(guard)) == (["fresh"], [(PARENT, None)])


def test_a_call_that_is_tried_again_stays_in_its_trace(guard: Guard) -> None:
    guard.unavailable = 1
    with ArtemisClient(guard.target) as client, trace.use_span(span()):
        client.events.get(1)

    assert sent(guard) == [(PARENT, None)] * 2


@pytest.mark.parametrize("each_client", ["threads"], indirect=True)
def test_a_program_that_does_not_trace_imports_nothing_of_it(guard: Guard) -> None:
    program = PROGRAM.format(target=guard.target)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert sent(guard) == [(None, None)]


@pytest.mark.acceptance
@pytest.mark.parametrize("each_client", ["threads"], indirect=True)
def test_the_client_works_where_opentelemetry_is_not_installed(guard: Guard) -> None:
    done = run_without(("opentelemetry", "opentelemetry.trace"), PROGRAM.format(target=guard.target))
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
