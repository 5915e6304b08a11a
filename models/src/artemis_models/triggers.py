"""Triggers: what the database itself sees to, whoever writes.

The version of a row changes with every change of it, also with one that was made by hand in SQL: etags and what is
kept of earlier answers depend on it.
"""

from sqlalchemy import DDL, Table, event

from artemis_models.tables import Event, User

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


def _add(table: Table) -> None:
    statements = {"sqlite": (_SQLITE,), "postgresql": (_FUNCTION, _POSTGRESQL)}
    for dialect, texts in statements.items():
        for text in texts:
            ddl = DDL(text.format(table=table.name).strip())  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))


for _model in (User, Event):
    _add(_model.metadata.tables[_model.__tablename__])
