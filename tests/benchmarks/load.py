"""Load: h2load (nghttp2), which sends one gRPC request over and over without spending time on Python."""

import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Literal

from google.protobuf.message import Message

CONNECTIONS = 4
CONCURRENT = 64
ATTEMPTS = 3  # h2load itself aborts now and then
PROTOCOLS = {
    "grpc": ("-H", "content-type: application/grpc", "-H", "te: trailers"),
    "json": ("--h1", "-H", "content-type: application/json"),
}
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


def wait_for_port(port: int) -> None:
    """Waits until somebody listens on the port."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
        else:
            return


def requests_per_second(
    port: int,
    method: str,
    body: Path | None,
    seconds: int,
    concurrent: int = CONCURRENT,
    protocol: Literal["grpc", "json"] = "grpc",
) -> float:
    """Sends the request for some seconds, `concurrent` at a time, and returns how many were answered a second."""
    command = [find_h2load(), "-D", str(seconds), f"http://127.0.0.1:{port}/{method}", *PROTOCOLS[protocol]]
    if protocol == "grpc":
        connections = min(CONNECTIONS, concurrent)
        command += ["-c", str(connections), "-m", str(concurrent // connections)]
    else:
        command += ["-c", str(concurrent), "-m", "1"]  # HTTP/1.1: a request at a time on each connection
    if body is not None:
        command += ["-d", str(body)]
    for _ in range(ATTEMPTS):
        process = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + 30,
            preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
        )
        if process.returncode >= 0:
            break
    answered = re.search(r"(\d+) succeeded, 0 failed, 0 errored", process.stdout)
    if answered is None:
        raise SystemExit(f"{method} failed under load:\n{process.stdout}{process.stderr}")
    return int(answered[1]) / seconds
