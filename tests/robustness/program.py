"""Starts the servers for the attacks: one serves several attacks in turn, until one of them has harmed it."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.conftest import postgresql
from tests.robustness.runner import Attack, Result, run
from tests.robustness.soak import Soak
from tests.robustness.victim import Probe, Victim, probing, victim

SHORT_SECONDS, SHORT_SHARE = 0.7, 0.25
STARTS = 3
"""Attempts to start a server: on a machine that is busy with other things a start may take too long."""


class Program:
    """A context in which attacks run. The short form has smaller attacks, and looks at no latency."""

    def __init__(self, *, seconds: float = SHORT_SECONDS, short: bool = False, flags: tuple[str, ...] = ()) -> None:
        self._seconds = seconds
        self._share = SHORT_SHARE if short else 1.0
        self._short = short
        self._flags = flags
        self._stack = ExitStack()
        self._shared: tuple[Victim, Probe] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def attack(self, attack: Attack) -> Result:
        """Runs an attack and returns its effects: those of the first run that failed, or of the last one."""
        if attack.fresh or attack.flags or attack.engine != "sqlite":
            for _ in range(1 if self._short else attack.repeats):
                result = self._attack_alone(attack)
                if result.failures:
                    break
            return result
        if self._shared is None:
            attacked = self._start(self._stack, attack.engine)
            self._shared = attacked, self._stack.enter_context(probing(attacked.port))
        result = run(attack, *self._shared, short=self._short)
        if result.failures:
            self._shared = None
            self._stack.close()
        return result

    def _attack_alone(self, attack: Attack) -> Result:
        with ExitStack() as stack:
            attacked = self._start(stack, attack.engine, *attack.flags)
            probe = None if attack.ends else stack.enter_context(probing(attacked.port))
            return run(attack, attacked, probe, short=self._short)

    def soak(self, seconds: float, chart: Path) -> list[str]:
        """Runs the mixed soak on a server of its own, draws it, and returns what was wrong."""
        with ExitStack() as stack:
            attacked = self._start(stack, "sqlite")
            soak = Soak(attacked, stack.enter_context(probing(attacked.port)))
            failures = soak.run(seconds)
            chart.write_text(soak.chart(), encoding="utf-8")
            print(soak.summary(), *failures, sep="\n  ", flush=True)
        return failures

    def _start(self, stack: ExitStack, engine: str, *flags: str) -> Victim:
        url, stop_database = "", None
        if engine == "postgresql":
            database = stack.enter_context(postgresql())
            url, stop_database, flags = database.get_uri(), database.stop, ("--migrate", *flags)
        for start in range(1, STARTS + 1):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            server = victim(folder, *self._flags, *flags, seconds=self._seconds, share=self._share, url=url)
            try:
                attacked = stack.enter_context(server)
                break
            except AssertionError:  # it did not say in time that it serves
                if start == STARTS:
                    raise
        if stop_database is not None:
            attacked.stop_database = stop_database
        return attacked
