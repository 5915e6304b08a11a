"""The entry point of `artemis`. It runs without the extra `cli`, to say how to install that."""

import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import NoReturn

NEEDED = ("click", "rich", "tomlkit")
INTERRUPTED = 130  # as shells report a program that SIGINT ended


def main() -> int:
    """Runs the command and returns its exit code."""
    open_streams()
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        advice = "install them with: pip install 'artemis-client[cli]'"
        sys.stderr.write(f"artemis: the command needs packages that are missing ({', '.join(missing)}); {advice}\n")
        return 1
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC would log each failure to stderr beside the error
    try:
        from artemis_client.cli.app import run  # noqa: PLC0415 - it imports what may be missing

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        end(INTERRUPTED)
    except SystemExit as ended:
        end(int(ended.code or 0))


def open_streams() -> None:
    """Opens the standard streams that the caller has closed, as by `<&-`: Python has None in their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


def end(code: int) -> NoReturn:
    """Ends the process after a signal, without the functions that wait for what the signal has cut off."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
