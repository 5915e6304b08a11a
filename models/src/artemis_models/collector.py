"""The garbage collector, for processes that make very many objects that are soon gone."""

import gc

COLLECT_AFTER = 20_000
"""New objects after which the youngest are looked at for garbage; Python's default is 700."""


def spare_collector() -> None:
    """Keeps the garbage collector from looking, over and over, at what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
