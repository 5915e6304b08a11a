"""The pages that Prometheus reads: /metrics has the sums of all workers, /metrics/workers each worker's own numbers."""

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version

import grpc
from artemis_models import head_revision
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from artemis_server.telemetry.families import FAMILIES, Family, Layout
from artemis_server.telemetry.memory import Memory

_Blocks = list[tuple[bool, list[float]]]


class Page(Collector):
    """The metrics of the processes that share a memory: one sum of all, or by worker."""

    def __init__(self, layout: Layout, memory: Memory, *, by_worker: bool) -> None:
        self._layout = layout
        self._memory = memory
        self._by_worker = by_worker

    def describe(self) -> Iterable[Metric]:
        """Returns nothing, so the registry does not look for duplicate names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yields each metric. A histogram with labels lacks the time series that have counted nothing yet."""
        yield _build_info()
        read = {number: self._memory.read(number) for number in self._memory.workers}
        parts: list[tuple[tuple[str, ...], _Blocks]]
        if self._by_worker:
            parts = [((str(number),), blocks) for number, blocks in read.items()]
        else:
            parts = [((), [block for blocks in read.values() for block in blocks])]
        for family in FAMILIES:
            yield self._metric(family, parts)

    def _metric(self, family: Family, parts: "list[tuple[tuple[str, ...], _Blocks]]") -> Metric:
        labels = ("worker", *family.labels) if self._by_worker else family.labels
        metric: Metric = _TYPES[family.kind](family.name.removesuffix("_total"), family.text, labels=labels)
        for own, blocks in parts:
            for values in self._layout.series(family):
                place = self._layout.place(family, *values)
                found = _merged(family, place, blocks)
                if found is not None:
                    _add(metric, family, (*own, *values), found)
        return metric


def _merged(family: Family, place: int, blocks: _Blocks) -> list[float] | None:
    """Returns the numbers of a time series; None if it has none."""
    if family.kind == "gauge":
        living = [numbers[place] for lives, numbers in blocks if lives]
        return [family.merge(living)] if living else None
    counted = [part for _, numbers in blocks if any(part := numbers[place : place + family.cells])]
    if counted:
        return [sum(column) for column in zip(*counted, strict=True)]
    return None if family.kind == "histogram" and family.labels else [0.0] * family.cells


def _add(metric: Metric, family: Family, values: tuple[str, ...], found: list[float]) -> None:
    if not isinstance(metric, HistogramMetricFamily):
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)  # noqa: S101, for the type checker
        metric.add_metric(values, found[0])
        return
    counts, total = found[:-1], 0.0
    buckets = []
    for bound, count in zip([*(str(float(bound)) for bound in family.buckets), "+Inf"], counts, strict=True):
        total += count
        buckets.append((bound, total))
    metric.add_metric(values, buckets, sum_value=found[-1])


def _build_info() -> Metric:
    labels = {
        "version": version("artemis-server"),
        "python": platform.python_version(),
        "grpc": grpc.__version__,
        "revision": head_revision(),
    }
    info = GaugeMetricFamily("artemis_build_info", "The versions that run; always 1.", labels=tuple(labels))
    info.add_metric(tuple(labels.values()), 1)
    return info


_TYPES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
