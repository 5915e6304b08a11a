"""Load: h2load (nghttp2), which sends one gRPC request over and over without spending time on Python."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from google.protobuf.message import Message

CONNECTIONS = 4
CONCURRENT = 64
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def find_h2load() -> str:
    """Returns the path of h2load; exits with what to do when it is missing."""
    path = shutil.which("h2load")
    if path is None:
        raise SystemExit("h2load is not installed; it comes with nghttp2 (Debian: apt install nghttp2-client)")
    return path


def write_body(path: Path, message: Message) -> Path:
    """Writes the message as gRPC frames it: a flag, the length, the bytes."""
    body = message.SerializeToString()
    path.write_bytes(b"\0" + len(body).to_bytes(4, "big") + body)
    return path


def requests_per_second(port: int, method: str, body: Path, seconds: int, concurrent: int = CONCURRENT) -> float:
    """Sends the request for some seconds, `concurrent` at a time, and returns how many were answered a second."""
    connections = min(CONNECTIONS, concurrent)
    command = [
        find_h2load(),
        "-D",
        str(seconds),
        "-c",
        str(connections),
        "-m",
        str(concurrent // connections),
    ]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    target = [f"http://127.0.0.1:{port}/{method}", "-d", str(body)]
    process = subprocess.run(
        [*command, *headers, *target],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    answered = re.search(r"(\d+) succeeded, 0 failed, 0 errored", process.stdout)
    if answered is None:
        raise SystemExit(f"{method} failed under load:\n{process.stdout}")
    return int(answered[1]) / seconds
