"""The metrics of `artemis-loader run`, scraped as Prometheus does it."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import pytest
from artemis_loader.report import metrics
from artemis_loader.settings import METRICS_LISTEN, Settings, parse
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.documents import table_of
from tests.e2e.loaders import CONFIG, Loader, logged
from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, Log

ANY_PORT = ("--metrics-listen", "127.0.0.1:0")
NEVER = 'schedule = "0 3 29 2 *"'
LISTENS = r"metrics on http://127\.0\.0\.1:(\d+)/metrics$"
Samples = dict[tuple[str, ...], float]
"""Values by the name of the metric without its prefix, and the values of its labels."""


@pytest.fixture
def loader(tmp_path: Path, sqlite_url: str) -> Loader:
    """A loader with two feeds: the file of the second is missing."""
    loader = Loader(tmp_path, sqlite_url)
    both = CONFIG.format(more=NEVER)
    both += both.replace("feeds.talks", "feeds.broken").replace("talks.jsonl", "missing.jsonl")
    (tmp_path / "feeds.toml").write_text(both, encoding="utf-8")
    with loader.feed.open("a", encoding="utf-8") as feed:
        feed.write("nonsense\n")
    return loader


@contextmanager
def running(loader: Loader, *flags: str, due_now: bool = False, setting: str = "off") -> Iterator[Log]:
    """Runs the schedules; the feeds are due at once, or not for years."""
    module = "tests.e2e.due_now" if due_now else "artemis_loader"
    environment = loader.environment() | {"ARTEMIS_METRICS_LISTEN": setting}
    process = Process([module, "run", "--database-url", loader.url, *flags], environment, loader.folder)
    with logged(process) as log:
        yield log
        process.terminate()
        assert process.wait(PATIENCE) == 0


def scrape(log: Log) -> Samples:
    """Returns what the loader tells Prometheus about feeds."""
    with urlopen(f"http://127.0.0.1:{log.wait_for(LISTENS)[1]}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    return {
        (sample.name.removeprefix("artemis_loader_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("artemis_loader_") and not sample.name.endswith("_created")
    }


def of(samples: Samples, name: str) -> dict[str, float]:
    """Returns the values of a metric of the feed `talks`, by its other label."""
    return {key[2]: value for key, value in samples.items() if key[:2] == (name, "talks")}


def history(loader: Loader, feed: str) -> dict[str, float]:
    """Returns when the feed's last load ended, and its seconds, as `status` has them."""
    (last, *_) = json.loads(loader.run("status", "--json", "--feed", feed).stdout)
    return {"finished": datetime.fromisoformat(last["finished"]).timestamp(), "seconds": last["seconds"]}


def test_a_scrape_tells_how_each_feed_was_loaded_also_after_a_restart(loader: Loader) -> None:
    began = time.time()
    with running(loader, *ANY_PORT, due_now=True) as log:
        log.wait_for("feed talks: loaded")
        log.wait_for("feed broken: .*No such file")
        samples = scrape(log)
    ended = time.time()

    counts = {"inserted": 3, "updated": 0, "unchanged": 0, "deleted": 0, "kept": 0}
    assert of(samples, "records") == {"read": 4, "rejected": 1, "duplicate": 0, "warnings": 0, **counts}
    assert of(samples, "loads_total") == {"loaded": 1, "not modified": 0, "failed": 0, "interrupted": 0}
    assert samples["loads_total", "broken", "failed"] == 1
    assert began < samples["last_success_timestamp_seconds", "talks"] < ended
    assert samples["last_success_timestamp_seconds", "broken"] == 0
    for feed in ("talks", "broken"):
        assert began < samples["last_load_timestamp_seconds", feed] < ended
        assert 0 < samples["load_duration_seconds", feed] < ended - began

    with running(loader, *ANY_PORT) as log:
        later = scrape(log)
    assert set(later) == set(samples)
    assert of(later, "records") == of(samples, "records")
    assert of(later, "loads_total") == dict.fromkeys(of(samples, "loads_total"), 0)
    assert later["last_success_timestamp_seconds", "broken"] == 0
    for feed in ("talks", "broken"):
        last = history(loader, feed)
        assert later["load_duration_seconds", feed] == last["seconds"]
        assert later["last_load_timestamp_seconds", feed] == pytest.approx(last["finished"], abs=1)
    assert later["last_success_timestamp_seconds", "talks"] == later["last_load_timestamp_seconds", "talks"]


def test_a_success_is_remembered_after_later_failures(loader: Loader) -> None:
    """Of a load by hand as well."""
    loader.load("--feed", "talks")
    success = history(loader, "talks")["finished"]
    loader.feed.unlink()
    assert loader.run("load", "--feed", "talks").returncode == 1
    with running(loader, *ANY_PORT) as log:
        samples = scrape(log)

    assert samples["last_success_timestamp_seconds", "talks"] == pytest.approx(success, abs=1)
    assert samples["last_load_timestamp_seconds", "talks"] > samples["last_success_timestamp_seconds", "talks"]
    assert of(samples, "records")["inserted"] == 0


def test_before_the_first_load_every_metric_of_the_page_is_there_and_zero(loader: Loader) -> None:
    with running(loader, *ANY_PORT) as log:
        samples = scrape(log)

    assert set(samples.values()) == {0}
    names = {f"artemis_loader_{key[0]}" for key in samples if key[1] == "talks"}
    assert names == {name for name, *_ in table_of("docs/feeds.md", "metric", "labels")}


def test_metrics_can_be_switched_off(loader: Loader) -> None:
    with running(loader) as log:
        log.wait_for("next load at")
    assert "metrics" not in log.text


@contextmanager
def taken(address: str) -> Iterator[str]:
    """Listens on an address, unless another program does."""
    host, _, port = address.rpartition(":")
    try:
        listener = socket.create_server((host, int(port)))
    except OSError:
        yield address
        return
    with listener:
        yield f"{host}:{listener.getsockname()[1]}"


def test_a_default_address_that_is_taken_is_a_warning(loader: Loader) -> None:
    with taken(METRICS_LISTEN) as address, running(loader, setting="") as log:
        log.wait_for("next load at")
    assert (
        f"WARNING artemis_loader: there are no metrics: cannot listen on {address}: Address already in use" in log.text
    )


def test_an_address_that_was_set_and_is_taken_is_an_error(loader: Loader) -> None:
    with taken("127.0.0.1:0") as address:
        done = loader.run("run", "--metrics-listen", address)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"artemis-loader: cannot listen on {address}: Address already in use"


def test_an_address_of_another_machine_is_an_error(loader: Loader) -> None:
    done = loader.run("run", "--metrics-listen", "192.0.2.1:0")
    assert done.returncode == 1
    assert re.match(r"artemis-loader: cannot listen on 192\.0\.2\.1:0: \w", done.stderr.splitlines()[-1])


@pytest.mark.parametrize("text", ["9465", ":9465", "localhost:", "localhost:65536", "::1:9465", "[::x]:1", "on"])
def test_a_text_that_is_no_address_is_a_usage_error(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["run", "--metrics-listen", text], {})
    assert ended.value.code == 2
    assert f"argument --metrics-listen: '{text}' is not HOST:PORT or [IPV6]:PORT" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["localhost:9465", "0.0.0.0:1", "[::1]:9465", "off"])
def test_the_address_of_the_metrics_is_a_flag_and_a_variable(text: str) -> None:
    environment = {"ARTEMIS_METRICS_LISTEN": text}
    assert parse(["run"], environment).metrics_listen == text
    assert parse(["run", "--metrics-listen", text], {}).metrics_listen == text
    assert parse(["run"], {}).metrics_listen == Settings.metrics_listen
    assert parse(["load"], environment).metrics_listen == Settings.metrics_listen


def test_clients_of_the_metrics_that_do_harm_keep_no_thread_and_write_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that says nothing loses its connection, and one whose headers the library cannot read gets an error."""
    monkeypatch.setattr(metrics._Handler, "timeout", 0.1)
    host, port = metrics.LoadMetrics(["talks"]).listen("127.0.0.1:0").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as silent:
        assert silent.recv(1) == b""
    for headers, status in (({"Accept": "text/plain;version=1.x.y"}, 500), ({}, 200)):
        connection = HTTPConnection(host, int(port), timeout=PATIENCE)
        connection.request("GET", "/metrics", headers=headers)
        assert connection.getresponse().status == status
        connection.close()
    assert capfd.readouterr().err == ""
