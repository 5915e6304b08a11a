"""The settings of the command: options, the environment, profiles; TLS and tokens; how it starts and how it ends."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest
from artemis_server.access import tokens

from tests.certificates import Authority
from tests.e2e.command import MODULE, Command
from tests.e2e.samples import START, user
from tests.e2e.servers import PATIENCE, Server, serving


@dataclass(frozen=True)
class Guarded:
    """A server with TLS and tokens."""

    server: Server
    folder: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    authority.client().write(folder, "client")
    cert, key = authority.server().write(folder, "server")
    made = {role: tokens.new_token() for role in ("reader", "writer")}
    for role, token in made.items():
        (folder / f"{role}.token").write_text(f"{token}\n")
    entries = [tokens.entry_text(token, role, role, START, None) for role, token in made.items()]
    (folder / "tokens.toml").write_text("".join(entries))
    (folder / "tokens.toml").chmod(0o600)
    flags = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", folder / "ca.pem")
    more = ("--auth", "tokens", "--auth-tokens-file", folder / "tokens.toml")
    with serving(folder / "artemis.db", *map(str, (*flags, *more))) as server:
        yield Guarded(server, folder)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def secured(guarded: Guarded, role: str) -> tuple[str, ...]:
    """Returns the options for a role."""
    folder = guarded.folder
    files = {"--ca": "ca.pem", "--cert": "client.crt", "--key": "client.key", "--token-file": f"{role}.token"}
    pairs = [(flag, str(folder / name)) for flag, name in files.items()]
    return ("--target", guarded.server.target, *(each for pair in pairs for each in pair))


def test_options_before_and_after_the_command_reach_a_server_with_tls_and_tokens(
    command: Command, guarded: Guarded
) -> None:
    email = user().email
    assert email in command.prints(*secured(guarded, "writer"), "users", "create", "--email", email)
    assert email in command.prints("users", "list", *secured(guarded, "reader"))


def test_a_profile_has_all_of_it_and_variables_and_options_override_it(command: Command, guarded: Guarded) -> None:
    saved = command.run("config", "set-profile", "guarded", *secured(guarded, "reader"))
    assert (saved.code, saved.out) == (0, "")
    variables = {
        "ARTEMIS_PROFILE": "guarded",
        "ARTEMIS_TOKEN": (guarded.folder / "writer.token").read_text().strip(),
    }
    create = ("users", "create", "--validate-only", "--email", "x@example.com")

    refused = command.run("--profile", "guarded", *create)
    assert (refused.code, "reason: ROLE_REQUIRED" in refused.err) == (1, True)
    assert "hint: the caller needs the role writer" in refused.err
    command.prints(*create, variables=variables)
    file = ("--token-file", str(guarded.folder / "reader.token"))
    assert command.run(*create, *file, variables=variables).code == 1
    unreachable = command.run("--target", "127.0.0.1:1", "--timeout", "0.1", *create, variables=variables)
    assert "the server is 127.0.0.1:1, from --target" in unreachable.err


def test_variables_alone_reach_a_server_with_tls_and_tokens(command: Command, guarded: Guarded) -> None:
    files = {"CA": "ca.pem", "CERT": "client.crt", "KEY": "client.key", "TOKEN_FILE": "reader.token"}
    variables = {f"ARTEMIS_{name}": str(guarded.folder / file) for name, file in files.items()}

    command.prints("users", "list", variables={"ARTEMIS_TARGET": guarded.server.target} | variables)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"ARTEMIS_TOKEN": "x", "ARTEMIS_TOKEN_FILE": "x"},
            "ARTEMIS_TOKEN and ARTEMIS_TOKEN_FILE contradict each other",
        ),
        ({"ARTEMIS_TLS": "false", "ARTEMIS_CA": "x"}, "ARTEMIS_TLS and ARTEMIS_CA contradict each other"),
        ({"ARTEMIS_TLS": "maybe"}, "ARTEMIS_TLS must be true or false, not 'maybe'"),
    ],
)
def test_variables_that_contradict_each_other_are_named(command: Command, given: dict[str, str], message: str) -> None:
    ran = command.run("users", "list", variables=given)

    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_an_option_overrides_what_contradicts_it_in_the_environment(command: Command, server: Server) -> None:
    variables = {"ARTEMIS_CA": "missing.pem", "ARTEMIS_TLS": "true", "ARTEMIS_TARGET": server.target}

    assert "cannot read missing.pem" in command.run("users", "list", "--limit", "1", variables=variables).err
    assert command.run("users", "list", "--limit", "1", "--insecure", variables=variables).code == 0


def test_an_error_of_access_has_a_hint(command: Command, guarded: Guarded) -> None:
    options = secured(guarded, "reader")[:-2]
    unknown = {"ARTEMIS_TOKEN": "artemis_unknown"}

    nobody = command.run(*options, "users", "list")
    assert "hint: give a token by --token-file, ARTEMIS_TOKEN" in nobody.err
    stranger = command.run(*options, "users", "list", variables=unknown)
    assert "hint: the token is from ARTEMIS_TOKEN; is it still valid" in stranger.err
    assert "artemis_unknown" not in stranger.err
    plain = command.run("--timeout", "0.3", "users", "list", variables={"ARTEMIS_TARGET": guarded.server.target})
    assert "hint: the server may need TLS (--ca or --tls)" in plain.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ca", "missing.pem"), "cannot read missing.pem: No such file or directory"),
        (("--ca", "empty.pem"), "empty.pem has no certificate in PEM"),
        (("--cert", "empty.pem"), "cert and key belong together"),
        (("--token-file", "missing"), "cannot read missing: No such file or directory"),
        (("--token-file", "token", "--target", "artemis.example.com:443"), "give --tls or --ca, or --insecure"),
    ],
)
def test_settings_that_cannot_work_are_named(command: Command, arguments: tuple[str, ...], message: str) -> None:
    (command.folder / "empty.pem").write_text("")
    (command.folder / "token").write_text("secret")
    ran = command.run("users", "list", *arguments)

    assert (ran.code, ran.out) == (1, "")
    assert message in ran.err
    assert "secret" not in ran.err


def test_a_profile_is_kept_where_nobody_else_reads_it_and_its_token_is_not_shown(command: Command) -> None:
    file = command.folder / "config" / "artemis" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n[profiles.old]\ntarget = 'old:1'\n")
    file.chmod(0o644)
    (command.folder / "ca.pem").write_text("")

    command.run(
        "config", "set-profile", "new", "--target", "new:1", "--ca", "ca.pem", "--token-stdin", stdin="secret\n"
    )

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().startswith("# mine\n")
    assert 'token = "secret"' in file.read_text()
    assert command.prints("config", "list").splitlines() == [
        "NAME  TARGET  TOKEN   CA",
        "old   old:1",
        f"new   new:1   (kept)  {command.folder}/ca.pem",
    ]
    command.run("config", "set-profile", "new", "--token-file", "token")
    assert "secret" not in file.read_text()
    command.prints("config", "delete-profile", "new")
    assert command.prints("config", "list").splitlines() == ["NAME  TARGET", "old   old:1"]
    assert command.run("config", "delete-profile", "new").code == 2
    assert command.run("config", "set-profile", "new").code == 2


@pytest.mark.parametrize(
    "content", ["[profiles.x", "[profiles.x]\ntokn = 'x'", "[profiles.x]\ntls = 'yes'", "[x]\n", "profiles = 1"]
)
def test_a_file_of_profiles_that_is_malformed_is_one_clear_error(command: Command, content: str) -> None:
    file = command.folder / "config" / "artemis" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(content)

    for arguments in (("--profile", "x", "users", "list"), ("config", "list"), ("config", "set-profile", "y", "--tls")):
        ran = command.run(*arguments)
        assert (ran.code, ran.out, str(file) in ran.err, "Traceback" in ran.err) == (1, "", True, False)
    assert file.read_text() == content


def test_without_its_dependencies_the_command_says_how_to_install_them() -> None:
    program = f"""
import sys
import importlib.util as util
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == "rich" else found(name, *rest)
from {MODULE}.__main__ import main
sys.exit(main())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "artemis: the command needs packages that are missing (rich); "
        "install them with: pip install 'artemis-client[cli]'\n"
    )


def test_the_version_is_that_of_the_client(command: Command) -> None:
    assert command.prints("--version") == f"artemis {version('artemis-client')}\n"


def test_help_needs_neither_protobuf_messages_nor_tables(command: Command) -> None:
    program = f"""
import sys
from {MODULE}.app import run
run(["--help"])
loaded = {{"rich", "tomlkit", "artemis_client.cli.resources"}} & set(sys.modules)
sys.exit(str(loaded) if loaded else 0)
"""
    subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=PATIENCE, check=True)
    assert "Commands:" in command.prints("--help")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_a_script_and_asks_for_completions(command: Command, shell: str) -> None:
    assert f"_ARTEMIS_COMPLETE={shell}_complete" in command.prints("completion", shell)
    variables = {"_ARTEMIS_COMPLETE": f"{shell}_complete"}
    if shell == "fish":
        groups = {"COMP_WORDS": "artemis", "COMP_CWORD": "us"}
        columns = {"COMP_WORDS": "artemis users list --columns", "COMP_CWORD": "id,em"}
    else:
        groups = {"COMP_WORDS": "artemis us", "COMP_CWORD": "1"}
        columns = {"COMP_WORDS": "artemis users list --columns id,em", "COMP_CWORD": "4"}

    assert "users" in command.prints(variables=variables | groups)
    assert "id,email" in command.prints(variables=variables | columns)


def test_a_reader_that_goes_away_is_no_error(command: Command, guarded: Guarded) -> None:
    read, write = os.pipe()
    os.close(read)
    arguments = [sys.executable, "-m", MODULE, *secured(guarded, "reader"), "users", "list", "--format", "csv"]
    with os.fdopen(write, "wb") as out:
        ran = subprocess.run(
            arguments, stdout=out, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, env=command.environment()
        )

    assert (ran.returncode, ran.stderr) == (141, b"")


@pytest.mark.acceptance
def test_standard_streams_that_are_closed_are_no_fault(command: Command, guarded: Guarded) -> None:
    program = " ".join([sys.executable, "-m", MODULE, *secured(guarded, "reader"), "users"])
    for redirected, out in [("list >&-", b""), ("list 2>&-", b""), ("get - <&-", b""), ("import - <&-", b"created 0")]:
        ran = subprocess.run(
            ["sh", "-c", f"{program} {redirected}"],
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=command.environment(),
        )
        assert b"Traceback" not in ran.stderr
        assert (ran.returncode, ran.stdout.startswith(out)) == (0, True), ran


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_is_one_clear_error(command: Command, guarded: Guarded) -> None:
    arguments = [sys.executable, "-m", MODULE, *secured(guarded, "reader"), "users", "list", "--format", "csv"]
    with Path("/dev/full").open("wb") as out:
        ran = subprocess.run(
            arguments, stdout=out, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, env=command.environment()
        )

    assert (ran.returncode, ran.stderr) == (1, b"artemis: No space left on device\n")
