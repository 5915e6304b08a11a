"""Alembic's entry: runs migrations on the connection that `artemis_models.migrate` hands over."""

from alembic import context
from artemis_models.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite's is, in a transaction that was begun explicitly
)
with context.begin_transaction():
    context.run_migrations()
