"""Triggers: the database counts up the version of a row with every change.

Etags are made from the version, so it must also change when somebody changes the row by hand in SQL.
Every table that has a column `version` has the trigger.
"""

from sqlalchemy import DDL, event

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


for _table in Base.metadata.tables.values():
    if "version" in _table.columns:
        for _dialect, _text in (("sqlite", _SQLITE), ("postgresql", _FUNCTION), ("postgresql", _POSTGRESQL)):
            _ddl = DDL(_text.format(table=_table.name).strip())  # type: ignore[no-untyped-call]
            event.listen(_table, "after_create", _ddl.execute_if(dialect=_dialect))
