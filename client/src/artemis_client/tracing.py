"""The trace that a call belongs to, for programs that trace themselves with OpenTelemetry."""

import sys
from typing import TypeAlias

Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]


def trace_context() -> Metadata:
    """Returns `traceparent` and `tracestate` of the current span (W3C Trace Context); empty if there is none.

    A program that has not imported OpenTelemetry has no span, so the client does not import it either.
    """
    if sys.modules.get("opentelemetry.trace") is None:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415, see above

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return tuple(headers.items())
