"""`artemis-server health`: the exit code tells whether a server is SERVING, also over TLS."""

import ipaddress
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from artemis_server.commands.health import beside, main
from cryptography import x509
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.certificates import DAY, Authority, Files
from tests.e2e.processes import Process
from tests.e2e.servers import PATIENCE, Server, environment, serving
from tests.tools import needs

ROOT = Path(__file__).parents[2]


@contextmanager
def answering(
    certificate: Files | None = None,
    clients: Authority | None = None,
) -> Iterator[str]:
    """Runs a server that is SERVING and yields its address. `clients` is the authority of its clients."""
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        root = clients.pem if clients else None
        cert, key = certificate
        pair = key.read_bytes(), cert.read_bytes()
        port = server.add_secure_port(
            "127.0.0.1:0", grpc.ssl_server_credentials([pair], root, require_client_auth=clients is not None)
        )
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def authority() -> Authority:
    return Authority()


def unhealthy(capsys: pytest.CaptureFixture[str], *arguments: object, **variables: object) -> str:
    """Returns why a check says that the server is not healthy: one line."""
    assert main([str(each) for each in arguments], {name: str(value) for name, value in variables.items()}) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    return str(err.removeprefix("artemis-server: ").removesuffix("\n"))


def test_a_server_that_serves_is_healthy_by_its_own_settings(server: Server) -> None:
    process = Process(["artemis_server", "health"], environment() | {"ARTEMIS_LISTEN": f"0.0.0.0:{server.port}"})
    out, err = process.communicate(PATIENCE)
    assert (process.wait(PATIENCE), out, err) == (0, f"127.0.0.1:{server.port} is SERVING\n", "")


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("[::]:1", "[::1]:1"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ("localhost:1", "localhost:1"),
    ],
)
def test_a_server_that_listens_on_every_address_is_asked_at_the_loopback_one(listen: str, target: str) -> None:
    assert target == beside(listen)


def test_one_service_can_be_asked_for(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", server.target, "--service", "artemis.v1.EventService"], {}) == 0
    capsys.readouterr()
    said = unhealthy(capsys, "--target", server.target, "--service", "artemis.v1.Nothing")
    assert said == f"{server.target}: the server has no service artemis.v1.Nothing"


def test_a_server_whose_schema_is_behind_is_not_healthy(
    database_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(database_path, "--no-migrate") as server:
        said = unhealthy(capsys, ARTEMIS_LISTEN=server.target)
    assert said == f"{server.target} is NOT_SERVING; its log says why"


def test_an_address_without_a_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for variables in ({}, {"ARTEMIS_TLS_CERT": "server.crt"}):
        assert "nowhere" in unhealthy(capsys, ARTEMIS_LISTEN="nowhere", **variables)


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        target = f"127.0.0.1:{unused.getsockname()[1]}"
    said = unhealthy(capsys, "--target", target)
    assert said.startswith(f"{target}: ")
    assert "Connection refused" in said


def test_a_server_that_says_nothing_is_waited_for_as_long_as_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        assert unhealthy(capsys, "--target", target, "--timeout", "0.1") == f"{target}: no answer within 0.1 s"


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("server.example"),
        x509.DNSName("*.server.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    ],
    ids=repr,
)
def test_the_servers_own_certificate_is_known_whatever_its_name_is(
    tmp_path: Path, authority: Authority, name: x509.GeneralName
) -> None:
    own = authority.issue(tmp_path, "own", name)
    with answering(certificate=own) as target:
        assert main([], {"ARTEMIS_LISTEN": target, "ARTEMIS_TLS_CERT": str(own.cert)}) == 0


@needs("openssl")
def test_the_certificate_that_the_page_makes_is_good_for_servers_and_clients(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^openssl req .*?[^\\]$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "secrets").mkdir()
    subprocess.run(
        shlex.split(command.replace("\\\n", "")), cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE
    )
    cert, key = (tmp_path / "secrets" / name for name in ("tls.crt", "tls.key"))
    with answering(Files(cert, key)) as target:
        assert main([], {"ARTEMIS_LISTEN": target, "ARTEMIS_TLS_CERT": str(cert)}) == 0
        for name in ("127.0.0.1", "localhost"):
            assert main(["--target", target.replace("127.0.0.1", name), "--tls-ca", str(cert)], {}) == 0


def test_another_certificate_is_not_taken_for_the_servers(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = (authority.issue(tmp_path, name, x509.DNSName("server.example")) for name in ("own", "other"))
    with answering(certificate=other) as target:
        assert "CERTIFICATE_VERIFY_FAILED" in unhealthy(capsys, "--target", target, "--tls-cert", own.cert)


@pytest.mark.parametrize("renewed", [True, False])
def test_a_file_that_the_server_has_not_taken_makes_it_no_less_healthy(
    tmp_path: Path, authority: Authority, renewed: bool
) -> None:
    """A server keeps its certificate when the new one is broken: a check that fails would take all servers away."""
    own = authority.issue(tmp_path, "own", x509.DNSName("server.example"))
    with answering(certificate=own) as target:
        if renewed:
            authority.issue(tmp_path, "own", x509.DNSName("server.example"))
        else:
            own.cert.write_text("half a certif")
        files = {"ARTEMIS_TLS_CERT": str(own.cert), "ARTEMIS_TLS_KEY": str(own.key), "ARTEMIS_LISTEN": target}
        assert main([], files) == 0


def test_nobody_behind_the_port_of_an_encrypted_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        target = f"127.0.0.1:{unused.getsockname()[1]}"
    files = {"ARTEMIS_TLS_CERT": "server.crt", "ARTEMIS_LISTEN": target}
    assert unhealthy(capsys, **files) == f"{target}: Connection refused"
    with answering() as target:
        assert unhealthy(capsys, **files | {"ARTEMIS_LISTEN": target}).startswith(f"{target}: ")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "timed out" in unhealthy(capsys, "--timeout", "0.1", **files | {"ARTEMIS_LISTEN": target})


def test_an_expired_certificate_is_not_healthy(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    expired = authority.issue(tmp_path, "expired", x509.DNSName("server.example"), ends=-DAY)
    with answering(certificate=expired) as target:
        assert "certificate has expired" in unhealthy(capsys, "--target", target, "--tls-cert", expired.cert)


def test_with_an_authority_the_name_in_the_target_counts(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    here, elsewhere = (
        authority.issue(tmp_path, str(names), x509.DNSName(names)) for names in ("localhost", "elsewhere")
    )
    with answering(certificate=here) as target:
        there = target.replace("127.0.0.1", "localhost")
        assert main(["--target", there, "--tls-ca", str(authority.write(tmp_path))], {}) == 0
        capsys.readouterr()
    with answering(certificate=elsewhere) as target:
        there = target.replace("127.0.0.1", "localhost")
        assert "Hostname Verification" in unhealthy(capsys, "--target", there, "--tls-ca", authority.write(tmp_path))


def test_a_server_that_asks_for_a_certificate_gets_its_own_or_the_one_that_is_named(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = Authority("clients")
    own = authority.issue(tmp_path, "own", x509.DNSName("server.example"))
    client = clients.issue(tmp_path, "client")
    files = {
        "ARTEMIS_TLS_CERT": str(own.cert),
        "ARTEMIS_TLS_KEY": str(own.key),
        "ARTEMIS_TLS_CLIENT_CA": str(authority.write(tmp_path)),
    }
    with answering(certificate=own, clients=authority) as target:
        assert main(["--target", target], files) == 0
        assert main([], files | {"ARTEMIS_LISTEN": target}) == 0
    capsys.readouterr()
    with answering(certificate=own, clients=clients) as target:
        named = ["--tls-client-cert", str(client.cert), "--tls-client-key", str(client.key)]
        assert main(["--target", target, *named], files) == 0
        capsys.readouterr()
        assert unhealthy(capsys, "--target", target, **files).startswith(f"{target}: ")
        client.cert.write_text("half a certif")
        said = unhealthy(capsys, "--target", target, *named, **files)
        assert said == f"{target}: the certificates or the key of this check cannot be used"


def test_an_encrypted_server_is_not_healthy_to_a_check_without_its_settings(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    own = authority.issue(tmp_path, "own", x509.DNSName("server.example"))
    with answering(certificate=own) as target:
        unhealthy(capsys, "--target", target)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot read {file}: No such file or directory"),
        ("minutes of a meeting", "{file} has no certificate in PEM"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, why: str
) -> None:
    file = tmp_path / "server.crt"
    if text is not None:
        file.write_text(text)
    assert unhealthy(capsys, "--target", "127.0.0.1:1", "--tls-cert", file) == why.format(file=file)


def test_a_certificate_without_a_name_is_no_good_to_clients(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    nameless = authority.issue(tmp_path, "", x509.UniformResourceIdentifier("spiffe://example/artemis"))
    with answering(certificate=nameless) as target:
        said = unhealthy(capsys, ARTEMIS_LISTEN=target, ARTEMIS_TLS_CERT=nameless.cert)
    assert said == f"{nameless.cert} has no DNS name and no address, one of which every client of gRPC looks for"


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["--timeout", "soon"], ["--nonsense"], ["extra"]])
def test_a_command_line_that_means_nothing_is_a_usage_error_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {})
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("artemis-server health: ")


def test_it_starts_without_the_large_packages_that_it_does_not_need(server: Server) -> None:
    """A container runs it every few seconds."""
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('sqlalchemy', 'alembic', 'protovalidate', 'lark', 'cryptography')))\n"
        f"sys.argv = ['artemis-server', 'health', '--target', '{server.target}']\n"
        "from artemis_server.__main__ import main\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (0, f"{server.target} is SERVING\n"), done.stderr
