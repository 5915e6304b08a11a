"""The pages: links lead somewhere, the README is short, every decision has a status, and every setting is explained."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import artemis_loader.settings
import artemis_server.settings
import pytest
from artemis.v1 import events_pb2, users_pb2

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "adr"
NAVIGATION = ROOT / "docs" / "site" / "navigation.txt"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
REASON = re.compile(
    r"""(?:\b(?:Unavailable|ResourceExhausted|DeadlineExceeded|Cancelled|NotFound|AlreadyExists|FailedPrecondition|Aborted
    |Unauthenticated|PermissionDenied)
    \(\s* | \breason(?::\ str\ )?=\ ?)f?"([^"]+)\"""",
    re.VERBOSE,
)
"""The reason of an error where the server makes it: `Aborted("ETAG_MISMATCH"` or `reason="UNKNOWN_FIELD"`."""
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not any(part.startswith(".") or part in ("dist", "node_modules") for part in path.relative_to(ROOT).parts)
]


def prose_of(path: Path) -> str:
    """Returns the text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links_of(path: Path) -> list[str]:
    """Returns the targets of a page's links that are not to other sites."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose_of(path))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors_of(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them: "Errors at start" is errors-at-start."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, target: str) -> bool:
    file, _, anchor = target.partition("#")
    path = page.parent / file if file else page
    return path.exists() and (not anchor or anchor in anchors_of(path))


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = [(page, target) for page in PAGES for target in links_of(page) if not leads_somewhere(page, target)]
    assert not broken


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached and page.suffix == ".md":
            reached.add(page)
            waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links_of(page)]
    missed = set(PAGES) - reached
    assert not missed


def test_every_page_has_one_place_in_the_navigation_of_the_site() -> None:
    entries = re.findall(r"^(?!:|```)(?:.* <)?([^<>\n]+?)>?$", NAVIGATION.read_text(encoding="utf-8"), re.MULTILINE)
    listed = [(ROOT / "docs" / f"{entry}.md").resolve() for entry in entries]
    pages = {page for page in PAGES if not re.match("[0-9]", page.name)}  # the decisions are listed below their README
    assert sorted(pages - {ROOT / "docs" / "README.md"}) == sorted(listed)


def test_the_reference_has_every_method_and_field_of_the_contract() -> None:
    """`make lint` compares the whole page with what the .proto files make, where the generator can be installed."""
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^###? (\w+)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))
    for file in (events_pb2.DESCRIPTOR, users_pb2.DESCRIPTOR):
        for service in file.services_by_name.values():
            assert {service.name, *service.methods_by_name} <= parts.keys()
        for name, message in file.message_types_by_name.items():
            assert [each.name for each in message.fields] == re.findall(r"^- \*\*`(\w+)`", parts[name], re.MULTILINE)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_decision_has_a_status_under_its_title_and_is_listed_in_order() -> None:
    decisions = sorted(DECISIONS.glob("[0-9]*.md"))
    for path in decisions:
        title, blank, status = path.read_text(encoding="utf-8").splitlines()[:3]
        assert re.fullmatch(rf"# {path.name[:4]}: .+", title), path.name
        assert blank == "", path.name
        assert re.match(r"\*\*Status\.\*\* (Accepted|Superseded by [0-9]{4})\.", status), path.name
    assert [path.name for path in decisions] == [link for link in links_of(DECISIONS / "README.md") if link[0] != "."]


@pytest.mark.parametrize(
    ("parse", "command", "page"),
    [
        (artemis_server.settings.parse, "serve", "docs/operations.md"),
        (artemis_loader.settings.parse, "run", "loader/README.md"),
    ],
    ids=["server", "loader"],
)
def test_the_table_of_settings_has_the_flags_and_defaults_that_help_shows(
    parse: Callable[[list[str], Mapping[str, str]], object],
    command: str,
    page: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        parse([command, "--help"], {})
    shown = defaults_in(capsys.readouterr().out)
    found = re.findall(
        r"^\| `(--[^`]+)` \| `ARTEMIS_(\w+)` \| ([^|]+) \|", (ROOT / page).read_text("utf-8"), re.MULTILINE
    )
    assert shown == {re.sub(r"\[no-\]", "", flag): comparable(default.strip("`")) for flag, _, default in found}
    names = {re.sub(r"^\[no-\]", "", flag[2:]).replace("-", "_").upper() for flag, _, _ in found}
    assert names == {variable for _, variable, _ in found}


def defaults_in(usage: str) -> dict[str, str]:
    """Returns the default of each flag in the text of --help."""
    entries = re.findall(r"^  (--[a-z-]+).*?\(default:\s+([^()]+)\)", usage, re.DOTALL | re.MULTILINE)
    return {flag: comparable(" ".join(default.split())) for flag, default in entries}


def comparable(default: str) -> str:
    """Returns a default as both texts have it: 10.0 is 10, None is none, and PostgreSQL stands for others."""
    return re.sub(r"\.0$", "", default).lower().replace("postgresql", "others")


def test_every_reason_of_an_error_is_explained_and_no_other() -> None:
    sources = (ROOT / "server" / "src").rglob("*.py")
    raised = {found for path in sources for found in REASON.findall(path.read_text(encoding="utf-8"))}
    patterns = {re.sub(r"\{.+?\}", "[A-Z_]+", reason) for reason in raised}  # f"{kind}_NOT_FOUND" stands for several
    rows = OPERATIONS.partition("## Errors while serving")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[A-Z_`, ]+`) \|", rows, re.MULTILINE)
    explained = {reason for cell in cells for reason in re.findall(r"`(\w+)`", cell)}
    assert len(raised) > 20
    assert {each for each in patterns if not any(re.fullmatch(each, reason) for reason in explained)} == set()
    assert {reason for reason in explained if not any(re.fullmatch(each, reason) for each in patterns)} == set()
