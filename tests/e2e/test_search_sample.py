"""The example of a service that keeps a search index in step: docs/samples/event_search.py."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from artemis_client import ArtemisClient, Event

from tests.e2e.conftest import Serve
from tests.e2e.documents import ROOT
from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, environment


@contextmanager
def searching(target: str, index: Path) -> Iterator[str]:
    """Runs the service, yields its address once its index is in step, and kills it."""
    command = (sys.executable, ROOT / "docs" / "samples" / "event_search.py", target, index, "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().rpartition(" ")[2].strip()
            wait_until_healthy(address)
            yield address
        finally:
            process.kill()


def wait_until_healthy(address: str) -> None:
    pause = threading.Event()
    while True:
        try:
            with urlopen(f"{address}/health", timeout=PATIENCE):  # noqa: S310, an address of this machine
                return
        except HTTPError as error:
            error.close()
        pause.wait(0.02)


def found(address: str, text: str) -> list[str]:
    with urlopen(f"{address}/?q={quote(text)}", timeout=PATIENCE) as answer:  # noqa: S310, likewise
        return [each["name"] for each in json.load(answer)]


@pytest.mark.acceptance
def test_the_index_is_in_step_also_after_the_service_was_away(serve: Serve, tmp_path: Path) -> None:
    target, index = serve().target, tmp_path / "index.db"
    with ArtemisClient(target) as client:
        compilers = client.events.create(event(name="Compiler day"))
        graphs = client.events.create(event(name="Graph day"))
        with searching(target, index) as address:
            assert found(address, "compiler") == ["Compiler day"]
            assert found(address, 'day" OR *') == []
            assert found(address, " ") == []

        client.events.update(Event(id=compilers.id, name="Parser day"))
        client.events.delete(graphs.id)
        client.events.create(event(name="Network day"))
        with searching(target, index) as address:
            assert found(address, "compiler") == []
            assert sorted(found(address, "day")) == ["Network day", "Parser day"]
