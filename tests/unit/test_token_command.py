"""`artemis-server token new`: the token is shown once, its hash is kept, and readers see the file before or after."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from artemis_server.access.tokens import Tokens, entry_text, new_token
from artemis_server.cli import main
from artemis_server.commands import token as command
from artemis_server.settings import SettingsError


def make(path: Path, *flags: str) -> int:
    return main(["token", "new", "--name", "billing", "--role", "writer", "--auth-tokens-file", str(path), *flags])


def test_a_token_is_printed_once_and_its_hash_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.toml"
    assert make(path, "--expires", "90d") == 0
    printed = capsys.readouterr()
    (token,) = printed.out.split()
    principal = Tokens(path).find(token)
    assert principal is not None
    assert principal.name == "billing"
    assert token not in path.read_text()
    assert token not in printed.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_expiry_is_counted_from_now(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    make(path, "--expires", "12h")
    found = re.search("^expires = (.*)Z$", path.read_text(), re.MULTILINE)
    assert found is not None
    left = datetime.fromisoformat(found[1]).replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(hours=11, minutes=59) < left <= timedelta(hours=12)


def test_other_entries_and_comments_and_the_mode_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.toml"
    old = new_token()
    text = "# ours\n" + entry_text(old, "billing", "reader", datetime.now(UTC), None) + "# no newline at the end"
    path.write_text(text)
    path.chmod(0o640)
    make(path)
    assert path.read_text().startswith(text)
    assert path.stat().st_mode & 0o777 == 0o640
    tokens = Tokens(path)
    assert None not in [tokens.find(old), tokens.find(capsys.readouterr().out.strip())]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "tokens").symlink_to("folder/real")
    assert make(tmp_path / "tokens") == 0
    assert (tmp_path / "tokens").is_symlink()
    Tokens(tmp_path / "folder" / "real")


def test_tokens_that_are_made_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    made = [new_token() for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: command.add(path, entry_text(each, "a", "reader", datetime.now(UTC), None)), made))
    tokens = Tokens(path)
    assert None not in [tokens.find(each) for each in made]


@pytest.mark.parametrize("how", ["malformed", "readable", "no folder"])
def test_a_file_that_cannot_be_used_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    path = tmp_path / "tokens.toml"
    if how == "no folder":
        path = tmp_path / "none" / "tokens.toml"
    else:
        path.write_text("[[" if how == "malformed" else "")
        path.chmod(0o600 if how == "malformed" else 0o644)
        before = path.read_text()
    assert make(path) == 2
    printed = capsys.readouterr()
    assert printed.out == "", "nobody may use a token that is not in the file"
    assert printed.err.count("\n") == 1
    assert how == "no folder" or before == path.read_text()


def test_a_token_without_a_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "new", "--name", "a", "--role", "reader"]) == 2
    assert capsys.readouterr().err == "artemis-server: token new needs --auth-tokens-file\n"


@pytest.mark.parametrize(
    "flags",
    [
        ("--name", ""),
        ("--name", "a b"),
        ("--name", 'a"\nrole = "admin'),
        ("--name", "a" * 101),
        ("--role", "root"),
        ("--expires", "0d"),
        ("--expires", "soon"),
        ("--expires", "-1d"),
        ("--expires", "1y"),
    ],
)
def test_a_token_that_makes_no_sense_is_a_usage_error(tmp_path: Path, flags: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make(tmp_path / "tokens", *flags)
    assert ended.value.code == 2
    assert not (tmp_path / "tokens").exists()


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTEMIS_AUTH_TOKENS_FILE", str(tmp_path / "tokens"))
    assert main(["token", "new", "--name", "a", "--role", "reader"]) == 0
    Tokens(tmp_path / "tokens")


def test_adding_says_what_the_system_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"cannot write {tmp_path}/a/b: No such file or directory"):
        command.add(tmp_path / "a" / "b", "")
