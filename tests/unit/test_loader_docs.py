"""The examples in docs/feeds.md can be read, and the samples can be loaded."""

import re
from pathlib import Path

import pytest
from artemis_loader.config.reader import read_config
from artemis_loader.feeds import (
    Calendar,
    Condition,
    Csv,
    Feed,
    Http,
    Limits,
    Pages,
    Secret,
    Source,
    Window,
    Xlsx,
)
from artemis_loader.fetch.sources import fetch
from artemis_loader.reading import read
from artemis_loader.records import Record

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "feeds.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SAMPLES = {name: feed for path in (DOCS / "samples").glob("*.toml") for name, feed in read_config(path).feeds.items()}
COUNTS = {"workshops": 4, "releases": 3, "maintenance": 3, "library": 2, "meetups": 7, "rooms": 3}


def test_the_page_has_examples() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_of_the_page_can_be_read(block: str, tmp_path: Path) -> None:
    path = tmp_path / "feeds.toml"
    path.write_text(block, encoding="utf-8")
    assert len(re.findall(r"^\[feeds\.[a-z]+\]$", block, re.MULTILINE)) == len(read_config(path).feeds)


@pytest.mark.parametrize("kind", [Feed, Source, Condition, Http, Pages, Secret, Limits, Csv, Xlsx, Window, Calendar])
def test_the_page_explains_every_key(kind: type) -> None:
    renamed = {"formats": "format", "name": "feeds.NAME", "zone": "time_zone", "source": "where"}
    for field in kind.__dataclass_fields__:  # type: ignore[attr-defined]  # they are dataclasses
        assert f"`{renamed.get(field, field)}`" in PAGE.replace("[", "").replace("]", "")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_read_without_rejects(name: str, tmp_path: Path) -> None:
    if SAMPLES[name].format == "xlsx":
        pytest.importorskip("openpyxl", reason="the extra xlsx is not installed")
    found = list(read(SAMPLES[name], fetch(SAMPLES[name], None, tmp_path)))
    assert COUNTS[name] == len(found)
    assert COUNTS[name] == len({item.external_id for item in found if isinstance(item, Record)})
