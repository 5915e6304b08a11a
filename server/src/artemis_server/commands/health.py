"""`artemis-server health`: tells by its exit code whether a server is SERVING.

A container runs it every few seconds, so it imports gRPC and nothing else that is large: no SQLAlchemy, Alembic or
protovalidate, and therefore not `settings`. So it takes a sixth of the CPU of the other commands.
"""

import argparse
import os
import ssl
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2

DESCRIPTION = "Tell by the exit code whether a server is SERVING: 0, or 1 after one line on stderr."
LISTEN = "127.0.0.1:50051"
TIMEOUT = 4.0
"""Seconds; Docker's health check of the image allows 5."""
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104, nothing listens here
"""For each address that stands for all of a machine: the address by which a program on it reaches the server."""
_METHOD = "/grpc.health.v1.Health/Check"


class Unhealthy(Exception):
    """The server is not SERVING, or this cannot be found out; the text is one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """As that of the other commands does, whose module would import SQLAlchemy."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Asks for the health and returns the exit code. Usage errors exit with 2."""
    options = _parser(environment).parse_args(arguments)
    target = options.target or beside(options.listen)
    try:
        with _channel(target, options) as channel:
            check(channel, target, options.service, options.timeout)
    except Unhealthy as error:
        print(f"artemis-server: {error}", file=sys.stderr)
        return 1
    print(f"{target} is SERVING")
    return 0


def check(channel: grpc.Channel, target: str, service: str, timeout: float) -> None:
    """Returns when the server says within `timeout` seconds that it is SERVING.

    Raises:
        Unhealthy: it says another status, or does not answer.
    """
    ask = channel.unary_unary(
        _METHOD,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        status = ask(health_pb2.HealthCheckRequest(service=service), timeout=timeout).status
    except grpc.RpcError as error:
        raise Unhealthy(f"{target}: {_reason(error, service, timeout)}") from None
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise Unhealthy(f"{target} is {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}; its log says why")


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(prog="artemis-server health", description=DESCRIPTION)

    def add(flag: str, text: str, metavar: str, kind: type = str, default: str | None = None) -> None:
        value = environment.get(f"ARTEMIS_{flag.upper().replace('-', '_')}") or default
        parser.add_argument(f"--{flag}", help=text, metavar=metavar, type=kind, default=value)

    add("listen", f"the address that the server listens on (default: {LISTEN})", "HOST:PORT", default=LISTEN)
    add(
        "tls-cert",
        "the server's certificate; with --target it must show this one, unless --tls-ca is set",
        "FILE",
        Path,
    )
    add("tls-key", "the key of that certificate", "FILE", Path)
    add("tls-client-ca", "the server asks for a certificate: --tls-client-cert, or its own", "FILE", Path)
    add("tls-ca", "the authorities of which one must have issued a certificate for the server's name", "FILE", Path)
    add("tls-client-cert", "the certificate to show to the server", "FILE", Path)
    add("tls-client-key", "the key of that certificate", "FILE", Path)
    parser.add_argument("--target", metavar="HOST:PORT", help="the server (default: --listen, on this machine)")
    parser.add_argument("--service", metavar="NAME", default="", help="one of its services (default: all)")
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=TIMEOUT, help=f"(default: {TIMEOUT:g})")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:  # noqa: PLR2004, an hour
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return value


def beside(listen: str) -> str:
    """Returns the address by which a program on the same machine reaches a server: "127.0.0.1:1" for "0.0.0.0:1"."""
    host, _, port = listen.rpartition(":")
    return f"{_ANY.get(host, host)}:{port}"


def _channel(target: str, options: argparse.Namespace) -> grpc.Channel:
    """Returns a channel, which is encrypted if the settings name a certificate or an authority."""
    settings = [("grpc.enable_http_proxy", "0")]
    if options.tls_cert is None and options.tls_ca is None:
        return grpc.insecure_channel(target, settings)
    if options.tls_ca is None:
        # The server may have kept an older certificate than that in the file, and serves all the same.
        shown = _read(options.tls_cert) if options.target else _shown(target, options.timeout)
        settings.append(("grpc.ssl_target_name_override", _name(shown, options.tls_cert)))
    else:
        shown = _read(options.tls_ca)
    cert, key = options.tls_client_cert, options.tls_client_key
    if options.tls_client_ca and cert is None:
        cert, key = options.tls_cert, options.tls_key
    pair = (_read(key), _read(cert)) if cert and key else (None, None)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(shown, *pair), settings)


def _shown(target: str, timeout: float) -> bytes:
    """Returns the certificate that a server shows, in PEM."""
    host, _, port = target.rpartition(":")
    try:
        return ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=timeout).encode()
    except OSError as error:
        raise Unhealthy(f"{target}: {error.strerror or error}") from None
    except (ValueError, OverflowError):
        raise Unhealthy(f"{target} is not HOST:PORT") from None


def _name(pem: bytes, file: Path) -> str:
    from artemis_server.commands.server_certificate import CertificateError, name_of  # noqa: PLC0415, slow

    try:
        return name_of(pem)
    except CertificateError as error:
        raise Unhealthy(f"{file} {error}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unhealthy(f"cannot read {path}: {os.strerror(error.errno or 0)}") from None


def _reason(error: grpc.RpcError, service: str, timeout: float) -> str:
    """Returns the reason of a failed call in one line."""
    assert isinstance(error, grpc.Call)  # noqa: S101, for the type checker
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"no answer within {timeout:g} s"
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"the server has no service {service}"
    if "security handshaker" in (error.details() or ""):  # gRPC found no pair or no authority in the files
        return "the certificates or the key of this check cannot be used"
    detail = (error.details() or error.code().name).rpartition("last error: ")[2]
    return " ".join(detail.removeprefix("UNKNOWN: ").split())
