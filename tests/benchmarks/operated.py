"""Prints what access control, TLS, metrics and the request log cost: `python -m tests.benchmarks.operated`.

Three servers take turns on one core, under a load on another: the server with all of it, the same server without, and
a no-op with the same TLS. Each ratio is made within a round.
"""

import argparse
import os
import ssl
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
from artemis.v1 import events_pb2_grpc
from artemis_server.access import tokens

from tests.benchmarks import load
from tests.benchmarks.__main__ import running, serving
from tests.benchmarks.load import Credentials, Rate, Target
from tests.benchmarks.methods import METHODS, Service, store_events
from tests.certificates import Authority

TITLES = ("Get, random ids", "Create", "List, another page")
PLAIN = ("--metrics-listen", "off", "--log-sample", "0")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2, help="of load for each figure in each round")
    parser.add_argument("--only", default="", help="figures whose title contains this")
    options = parser.parse_args()
    titles = [title for title in TITLES if options.only in title]
    with servers() as (targets, services):
        found: dict[str, list[dict[str, Rate]]] = {title: [] for title in titles}
        for number in range(options.rounds):
            for title in titles:
                names = list(targets) if number % 2 else list(reversed(targets))
                found[title].append({name: rate(targets[name], services[name], title, options) for name in names})
    for title, rounds in found.items():
        for other in ("plain", "no-op with TLS"):
            calls = shown(each["operated"].calls / each[other].calls for each in rounds)
            processor = shown(each["operated"].processor / each[other].processor for each in rounds)
            print(f"{title}, operated / {other}: calls {calls}, processor time {processor}")


def rate(target: Target, service: Service, title: str, options: argparse.Namespace) -> Rate:
    """Measures one method of one server."""
    method = METHODS[title]
    os.sched_setaffinity(0, [load.LOAD_CORE])
    path = f"/artemis.v1.EventService/{method.name}"
    return load.measure(target, path, method.requests(service), options.seconds, method.concurrent)


def shown(ratios: Iterable[float]) -> str:
    """Returns the median and the range: "0.81 (0.78 to 0.90)"."""
    values = sorted(ratios)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


@contextmanager
def servers() -> Iterator[tuple[dict[str, Target], dict[str, Service]]]:
    """Runs the servers and fills their databases."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority()
        cert, key = authority.server().write(folder, "server")
        token, file = tokens.new_token(), folder / "tokens.toml"
        file.write_text(tokens.entry_text(token, "bench", "writer", datetime.now(UTC), None))
        file.chmod(0o600)
        access = ("--tls-cert", f"{cert}", "--tls-key", f"{key}", "--auth", "tokens", "--auth-tokens-file", f"{file}")
        telemetry = ("--metrics-listen", "127.0.0.1:0", "--log-format", "json", "--log-sample", "1")
        context = ssl.create_default_context(cadata=authority.pem.decode())
        context.set_alpn_protocols(["h2"])
        credentials = Credentials(context, f"Bearer {token}")
        log = stack.enter_context((folder / "log").open("w")).fileno()
        plain = stack.enter_context(serving(f"sqlite:///{folder}/plain.db", flags=PLAIN))
        operated = stack.enter_context(serving(f"sqlite:///{folder}/operated.db", flags=(*access, *telemetry), log=log))
        noop = stack.enter_context(running("tests.benchmarks.noop", f"{cert}", f"{key}"))
        targets = {
            "plain": plain,
            "operated": operated._replace(credentials=credentials),
            "no-op with TLS": noop._replace(credentials=credentials),
        }
        services = {}
        for name, channel in (
            ("plain", grpc.insecure_channel(f"127.0.0.1:{plain.port}")),
            ("operated", grpc.secure_channel(f"localhost:{operated.port}", with_token(authority, token))),
        ):
            stub = events_pb2_grpc.EventServiceStub(stack.enter_context(channel))
            services[name] = Service(stub, store_events(stub))
        services["no-op with TLS"] = services["operated"]
        yield targets, services


def with_token(authority: Authority, token: str) -> grpc.ChannelCredentials:
    """Returns the credentials of a channel that sends a token with each call."""
    return grpc.composite_channel_credentials(authority.credentials(), grpc.access_token_call_credentials(token))


if __name__ == "__main__":
    main()
