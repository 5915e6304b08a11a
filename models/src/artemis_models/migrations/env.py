"""Alembic's entry: runs migrations on the connection that `artemis_models.migrate` hands over, or prints them."""

from alembic import context
from artemis_models.tables import Base

attributes = context.config.attributes
context.configure(
    connection=attributes.get("connection"),
    dialect_name=attributes.get("dialect"),
    target_metadata=Base.metadata,
    literal_binds=context.is_offline_mode(),
    render_as_batch=True,
    transactional_ddl=True,  # true of SQLite, too, after an explicit BEGIN
)
with context.begin_transaction():
    context.run_migrations()
