"""Revisions can be ordered by programs that do not know them. Migrations say which programs they leave working."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.script import Script
from artemis_models.revisions import COMPATIBLE_SINCE, head_revision, migrations, oldest_revision


def test_revisions_are_numbers_of_four_digits_in_a_row() -> None:
    """So that "is newer than" is a comparison of texts, also with a revision that a program does not know."""
    numbers = [f"{number:04}" for number in range(1, len(migrations()) + 1)]
    assert numbers == [migration.revision for migration in migrations()]
    assert numbers == [Path(migration.path).name.partition("_")[0] for migration in migrations()]
    assert [None, *numbers[:-1]] == [migration.down_revision for migration in migrations()]
    assert numbers[-1] == head_revision()


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.revision)
def test_every_migration_declares_the_oldest_programs_that_it_leaves_working(migration: Script) -> None:
    if migration.revision < COMPATIBLE_SINCE:
        assert oldest_revision(migration) is None
    else:
        assert COMPATIBLE_SINCE <= str(oldest_revision(migration)) <= migration.revision


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({}, r'0012_x.py must declare oldest_revision, such as "0009"'),
        ({"oldest_revision": None}, "must declare"),
        ({"oldest_revision": 9}, "must declare"),
        ({"oldest_revision": "9"}, "must declare"),
        ({"oldest_revision": "0013"}, "must be from 0009 to 0012, not 0013"),
        ({"oldest_revision": "0008"}, "must be from 0009 to 0012, not 0008"),
    ],
)
def test_a_migration_that_does_not_declare_it_is_named(declared: dict[str, Any], message: str) -> None:
    made: Any = SimpleNamespace(revision="0012", path="versions/0012_x.py", module=SimpleNamespace(**declared))
    with pytest.raises(ValueError, match=message):
        oldest_revision(made)
