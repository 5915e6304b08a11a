"""Runs a host until the process that started it has ended, and answers its commands: a line of JSON for each.

    {"command": "advance", "arguments": {"microseconds": 1000000}}  ->  {"value": 1785000001000000}
    {"command": "fail", ...}                                        ->  {"error": "the server never answers UNKNOWN"}

    python -m artemis_testing.host FD FOLDER CACHE ACCESS

FD is the socket of the commands. The files of the host are in FOLDER, which it removes. CACHE may be empty.
"""

import json
import logging
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import IO

from artemis_server import logs

from artemis_testing.host.host import Host

COMMANDS = (
    "reset",
    "freeze",
    "advance",
    "now",
    "fault",
    "fail",
    "clear_faults",
    "disconnect",
    "expire_log",
    "calls",
    "flush_log",
)
"""The methods of `Host` that may be called."""


def main(descriptor: str, folder: str, cache: str, access: str) -> None:
    """Serves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which ends this process afterwards
    logs.set_up("INFO")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    code = 1
    try:
        with socket.socket(fileno=int(descriptor)) as control, control.makefile("rw", encoding="utf-8") as stream:
            host = Host(Path(folder), Path(cache) if cache else None, access=access == "access")
            _answer(stream, {"value": {"port": host.port, "tokens": host.tokens}})
            _serve(host, stream)
            host.stop()
        code = 0
    except BaseException:
        logging.exception("the server ends")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(code)  # at once, also after an error: threads of the server may still run, and keep a process alive


def _serve(host: Host, stream: IO[str]) -> None:
    for line in stream:
        asked = json.loads(line)
        if asked["command"] not in COMMANDS:
            raise ValueError(asked["command"])
        try:
            _answer(stream, {"value": getattr(host, asked["command"])(**asked["arguments"])})
        except ValueError as error:
            _answer(stream, {"error": str(error)})


def _answer(stream: IO[str], answer: object) -> None:
    stream.write(json.dumps(answer) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
