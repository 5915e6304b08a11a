"""Alembic's entry: runs a migration on the connection that `artemis_models.migrate` hands over, or prints it."""

from alembic import context
from artemis_models import text_index
from artemis_models.tables import Base

attributes = context.config.attributes
context.configure(
    connection=attributes.get("connection"),
    dialect_name=attributes.get("dialect"),
    target_metadata=Base.metadata,
    literal_binds=context.is_offline_mode(),
    render_as_batch=True,
    # Alembic does not know of `ddl_if`, and the models do not have the index of texts.
    include_object=lambda item, name, *_: (
        item.info.get("only", context.get_context().dialect.name) == context.get_context().dialect.name
        and not (name or "").startswith((text_index.OBJECTS, text_index.INDEX))
    ),
    transactional_ddl=attributes.get("in_transaction", True),  # true of SQLite, too, after an explicit BEGIN
)
with context.begin_transaction():
    for statement in attributes.get("first", ()):
        context.execute(statement)
    context.run_migrations()
