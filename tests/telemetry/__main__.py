"""Draws docs/telemetry/dashboard.svg: `python -m tests.telemetry`, which needs the program `prometheus`.

A server of two workers runs under load for a minute, and one of them is killed. Prometheus reads the metrics and
answers
the expressions of the dashboard, and `chart.py` draws what it answers.
"""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from artemis_client import ArtemisClient, ArtemisError

from tests.e2e.samples import event
from tests.e2e.servers import PATIENCE, Server, serving
from tests.telemetry.chart import Line, Panel, draw
from tests.telemetry.names import DASHBOARD, panels

PICTURE = DASHBOARD.with_suffix(".svg")
SECONDS, CALM, KILL, STEP = 60.0, 5.0, 35.0, 1.0
"""Seconds: the length of the run, the begin of the load and the kill in it, and the time between two readings."""
METRICS = r"metrics on http://(127\.0\.0\.1:\d+)/metrics"
WINDOW = "8s"
"""The window of rates, for which Grafana would put four times the interval of Prometheus."""


def main() -> None:
    """Runs the server, and draws."""
    if shutil.which("prometheus") is None:
        raise SystemExit("the program `prometheus` is not installed")
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--workers", "2", "--metrics-listen", "127.0.0.1:0", "--max-client-rate", "400")
        with serving(Path(folder) / "artemis.db", *flags) as server:
            target = server.log.wait_for(METRICS)[1]
            with prometheus(target, Path(folder)) as asked:
                begin = time.time()
                load(server)
                drawn = [panel_of(asked, each, begin) for each in panels()]
    title = f"Artemis: {SECONDS:.0f} s of a server with two workers on SQLite; a worker is killed after {KILL:.0f} s."
    title += " There is no loader, and no TLS."
    PICTURE.write_text(draw(title, drawn, SECONDS), encoding="utf-8")
    print(f"wrote {PICTURE}")


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[str]:
    """Runs a Prometheus that reads this target every STEP seconds, and yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {STEP:.0f}s, scrape_timeout: {STEP:.0f}s}}\n"
        f"scrape_configs: [{{job_name: artemis-server, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={listen}"]
    process = subprocess.Popen(["prometheus", *flags], stderr=subprocess.DEVNULL)
    try:
        for _ in range(int(PATIENCE * 10)):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", int(listen.rpartition(":")[2])), timeout=1).close()
                break
            time.sleep(0.1)
        yield listen
    finally:
        process.terminate()
        process.wait(PATIENCE)


def load(server: Server) -> None:
    """Calls the server until the run ends, and kills a worker meanwhile."""
    end = time.monotonic() + SECONDS
    time.sleep(CALM)
    threads = [threading.Thread(target=call, args=(server.target, number, end)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(KILL - CALM)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text(encoding="ascii")
    subprocess.run(["kill", "-KILL", children.split()[0]], check=True)
    for thread in threads:
        thread.join()


def call(target: str, number: int, end: float) -> None:
    """Creates, gets and lists events, and asks for some that do not exist."""
    with ArtemisClient(target) as client:
        while time.monotonic() < end:
            with suppress(ArtemisError):
                made = client.events.create(event(name=f"Event {number}"))
                for _ in range(8):
                    client.events.get(made.id)
                if number % 4 == 0:
                    next(iter(client.events.list(page_size=20)))
                    client.events.get(2**62)
            time.sleep(0.02)


def panel_of(listen: str, panel: dict[str, Any], begin: float) -> Panel:
    """Asks for the expressions of a panel."""
    lines = [line for target in panel["targets"] for line in lines_of(listen, target, begin)]
    return Panel(title=panel["title"], unit=panel["fieldConfig"]["defaults"]["unit"], lines=lines)


def lines_of(listen: str, target: dict[str, str], begin: float) -> list[Line]:
    """Asks for one expression; series that are 0 all the time are left out if another one is not."""
    expression = target["expr"].replace("$__rate_interval", WINDOW).replace("$job", ".*").replace("$instance", ".*")
    query = {"query": expression, "start": begin, "end": begin + SECONDS, "step": STEP}
    with urllib.request.urlopen(f"http://{listen}/api/v1/query_range?{urllib.parse.urlencode(query)}") as answer:
        found = json.load(answer)["data"]["result"]
    lines = []
    for series in found:
        name = re.sub(r"\{\{(\w+)\}\}", lambda match: series["metric"].get(match[1], ""), target["legendFormat"])  # noqa: B023
        values = [(float(at) - begin, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf")]
        lines.append(Line(name=name.removeprefix("artemis.v1."), points=values))
    moving = [line for line in lines if any(value for _, value in line.points)]
    return moving or lines[:1]


if __name__ == "__main__":
    main()
