"""Triggers: the database counts up the version of a row with every change.

Etags are made from the version, so it must also change when somebody changes the row by hand in SQL.
Every table that has a column `version` has the trigger; that of events also logs the change (`change_log`).
"""

from sqlalchemy import DDL, Table, event

from artemis_models import change_log, text_index
from artemis_models.tables import Base

_SQLITE = """
CREATE TRIGGER {table}_version AFTER UPDATE ON {table} WHEN NEW.version = OLD.version BEGIN
  UPDATE {table} SET version = OLD.version + 1 WHERE id = NEW.id;
END
"""
_FUNCTION = """
CREATE OR REPLACE FUNCTION artemis_next_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$
"""
_POSTGRESQL = """
CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW WHEN (NEW.version = OLD.version)
EXECUTE FUNCTION artemis_next_version()
"""


def _after_create(table: Table, dialect: str, text: str) -> None:
    ddl = DDL(text.strip().replace("%", "%%"))  # type: ignore[no-untyped-call]
    event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _table in Base.metadata.tables.values():
    if "version" in _table.columns:
        if _table.name != "events":
            _after_create(_table, "sqlite", _SQLITE.format(table=_table.name))
        _after_create(_table, "postgresql", _FUNCTION)
        _after_create(_table, "postgresql", _POSTGRESQL.format(table=_table.name))

_events = Base.metadata.tables["events"]
for _text in change_log.sqlite_triggers(_events.columns.keys()):
    _after_create(_events, "sqlite", _text)
for _text in text_index.SQLITE:
    _after_create(_events, "sqlite", _text)
for _text in (change_log.POSTGRESQL_FUNCTION, change_log.POSTGRESQL_SEARCH_PATH, *change_log.POSTGRESQL_TRIGGERS):
    _after_create(_events, "postgresql", _text)
