"""`artemis-server`, and `python -m artemis_server`: the command line, without what `health` does not need."""

import sys


def main() -> int:
    """Runs a command and returns its exit code."""
    if sys.argv[1:2] == ["health"]:
        from artemis_server.commands import health  # noqa: PLC0415, it starts in a sixth of the time without `cli`

        return health.main(sys.argv[2:])
    from artemis_server import cli  # noqa: PLC0415, likewise

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
