"""Alembic's entry: runs a migration on the connection that `artemis_models.migrate` hands over, or prints it."""

from alembic import context
from artemis_models import text_index
from artemis_models.tables import Base
from sqlalchemy import Column, Index
from sqlalchemy.schema import SchemaItem

attributes = context.config.attributes


def _is_compared(item: SchemaItem, name: str | None, *_: object) -> bool:
    """Tells whether Alembic compares a part of the schema with the models, which do not have the index of texts.

    It does not know of `ddl_if`, and takes an expression that PostgreSQL writes in its own way for another one.
    """
    dialect = context.get_context().dialect.name
    if (name or "").startswith((text_index.OBJECTS, text_index.INDEX)):
        return False
    if isinstance(item, Index) and not all(isinstance(each, Column) for each in item.expressions):
        return False
    return bool(item.info.get("only", dialect) == dialect)


context.configure(
    connection=attributes.get("connection"),
    dialect_name=attributes.get("dialect"),
    target_metadata=Base.metadata,
    literal_binds=context.is_offline_mode(),
    render_as_batch=True,
    include_object=_is_compared,
    transactional_ddl=attributes.get("in_transaction", True),  # true of SQLite, too, after an explicit BEGIN
)
with context.begin_transaction():
    for statement in attributes.get("first", ()):
        context.execute(statement)
    context.run_migrations()
