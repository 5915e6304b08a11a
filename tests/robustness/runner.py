"""Runs one attack and compares its effects on the server and on the innocent caller with the attack's bounds."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.robustness.victim import Call, Probe, Reading, Victim, codes_by_kind, now, p99

CALM = 2.0
"""Seconds before an attack, in which the innocent caller's latency on this machine is measured."""
SLOWER = 5.0
"""The innocent caller may be answered so many times slower than before the attack, even if a bound is lower."""
SETTLE = 5.0
"""Seconds after an attack in which descriptors and threads must have gone back."""
SLACK_DESCRIPTORS, SLACK_THREADS = 200, 80
"""Descriptors and threads that an attack may leave: pools that grew to their limit stay."""
OK = frozenset({"OK"})
BUSY = frozenset({"OK", "RESOURCE_EXHAUSTED"})


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The limits of an attack's effects on the server and on the innocent caller."""

    memory: float = 100.0
    """MiB by which the peak of the memory may exceed what was used before."""
    processor: float = float("inf")
    """Seconds of processor time."""
    innocent: frozenset[str] = OK
    """Codes that the innocent caller may see from Get and Create; health must always be OK."""
    p99: float = 0.25
    """Seconds of the 99th percentile of the innocent caller's calls; not looked at in the short form."""
    get: float | None = None
    """The same for its gets alone, where that is stricter."""
    recovery: float = 2.0
    """Seconds after the attack until calls are answered again; ten times as long in the short form."""
    log: float = 64.0
    """KB that the server may log."""
    connect: bool = True
    """True if new connections must succeed during the attack."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A row of the table: an attack and its bounds."""

    name: str
    does: str
    attack: Callable[[Victim], None]
    bounds: Bounds = Bounds()
    short: bool = False
    """True if the short form has it."""
    fresh: bool = False
    """True if it needs a server of its own, which does not survive it or is configured for it."""
    repeats: int = 1
    """The long form repeats it so often, each time on a new server."""
    flags: tuple[str, ...] = ()
    engine: str = "sqlite"
    ends: bool = False
    """True if the server or a worker ends by it. Then the attack looks at callers itself."""


@dataclass(kw_only=True)
class Result:
    """The effects of an attack, as measured."""

    attack: Attack
    seconds: float = 0.0
    memory: float = 0.0
    processor: float = 0.0
    worst: dict[str, float] = field(default_factory=dict)
    recovery: float = 0.0
    log: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Returns the line that is printed."""
        p99s = " ".join(f"{kind} {seconds * 1e3:.0f}" for kind, seconds in sorted(self.worst.items()))
        notes = ", ".join(f"{name} {value}" for name, value in self.notes.items())
        return (
            f"{'FAIL' if self.failures else 'pass'} {self.attack.name:<26}{self.seconds:>6.1f} s"
            f"{self.memory:>6.0f} MiB{self.processor:>6.1f} s CPU{self.log:>6.0f} KB log"
            f"{self.recovery * 1e3:>6.0f} ms recovery  "
            f"p99 ms: {p99s or '-'}{'  (' + notes + ')' if notes else ''}"
            + "".join(f"\n       {failure}" for failure in self.failures)
        )


def run(attack: Attack, victim: Victim, probe: Probe | None, *, short: bool) -> Result:
    """Attacks, waits until the innocent caller is answered again, and returns what was measured."""
    result = Result(attack=attack)
    victim.notes, victim.failures = {}, []
    if probe is not None and not short:
        time.sleep(CALM)
    victim.forget_peak()
    before, begin, logged = victim.read(), now(), len(victim.server.log.text)
    try:
        attack.attack(victim)
    except Exception as error:  # an attack that breaks down has found something, or is wrong: both count
        if not victim.killed.is_set():
            victim.failures.append(f"the attack broke down: {type(error).__name__}: {error}")
    end = now()
    result.seconds = end - begin
    result.log = (len(victim.server.log.text) - logged) / 1000
    if result.log > attack.bounds.log:
        result.failures.append(f"log: {result.log:.0f} KB > {attack.bounds.log:.0f} KB")
    alive = victim.server.process.poll() is None and not victim.killed.is_set()
    if alive:
        after = victim.read()
        result.memory, result.processor = after.peak - before.rss, after.processor - before.processor
    if not attack.ends:
        _check_server(attack, victim, before, result, alive=alive)
        if alive and probe is not None:
            _check_innocent(attack.bounds, probe, begin, end, result, short=short)
    result.notes, result.failures = victim.notes, [*victim.failures, *result.failures]
    return result


def _check_server(attack: Attack, victim: Victim, before: Reading, result: Result, *, alive: bool) -> None:
    bounds = attack.bounds
    if victim.killed.is_set():
        result.failures.append("the server took so much memory that the guard killed it")
    elif not alive:
        result.failures.append(f"the server ended with {victim.server.process.poll()}")
    if not alive:
        return
    if result.memory > bounds.memory:
        result.failures.append(f"memory: {result.memory:.0f} MiB > {bounds.memory:.0f} MiB")
    if result.processor > bounds.processor:
        result.failures.append(f"processor: {result.processor:.1f} s > {bounds.processor:.1f} s")
    descriptors = settled(lambda: victim.read().descriptors, before.descriptors + SLACK_DESCRIPTORS)
    if descriptors > before.descriptors + SLACK_DESCRIPTORS:
        result.failures.append(f"descriptors: {before.descriptors} before, {descriptors} after")
    threads = settled(lambda: victim.read().threads, before.threads + SLACK_THREADS)
    if threads > before.threads + SLACK_THREADS:
        result.failures.append(f"threads: {before.threads} before, {threads} after")


def settled(value: Callable[[], int], limit: int) -> int:
    """Returns a value as soon as it is within a limit, or as it is when the time is up."""
    end = now() + SETTLE
    while (found := value()) > limit and now() < end:
        time.sleep(0.05)
    return found


def _check_innocent(bounds: Bounds, probe: Probe, begin: float, end: float, result: Result, *, short: bool) -> None:
    answered = probe.wait_past(end)
    calls = probe.since(begin)
    after = [each for each in calls if each.begin + each.seconds >= end and each.code == "OK"]
    kinds = {each.kind for each in calls}
    firsts = [min((e.begin + e.seconds for e in after if e.kind == kind), default=float("inf")) for kind in kinds]
    result.recovery = max(firsts, default=float("inf")) - end
    limit = bounds.recovery * (10 if short else 1)
    if not answered or result.recovery > limit:
        result.failures.append(f"recovery: {result.recovery:.1f} s > {limit:.1f} s")
    meanwhile = [each for each in calls if each.begin <= end]
    _check_codes(bounds, meanwhile, result)
    for kind in kinds:
        result.worst[kind] = p99([each.seconds for each in meanwhile if each.kind == kind])
    if not short:
        calm = [each for each in probe.since(begin - CALM) if each.begin + each.seconds < begin]
        result.failures += _slow(bounds, calm, result.worst)


def _slow(bounds: Bounds, calm: list[Call], worst: dict[str, float]) -> list[str]:
    failures = []
    for kind, seconds in worst.items():
        bound = bounds.get if kind == "get" and bounds.get is not None else bounds.p99
        limit = max(bound, SLOWER * p99([each.seconds for each in calm if each.kind == kind]))
        if seconds > limit and (bounds.connect or kind != "connect"):
            failures.append(f"p99 of the innocent caller's {kind}: {seconds:.3f} s > {limit:.3f} s")
    return failures


def _check_codes(bounds: Bounds, calls: list[Call], result: Result) -> None:
    for kind, codes in codes_by_kind(calls).items():
        allowed = bounds.innocent if kind in ("get", "create") else OK
        if kind == "connect" and not bounds.connect:
            continue
        wrong = {code: count for code, count in codes.items() if code not in allowed}
        if wrong:
            result.failures.append(f"the innocent caller's {kind} saw {wrong} of {sum(codes.values())}")
