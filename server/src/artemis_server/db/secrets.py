"""Keys that all servers on one database share. A migration makes them."""

from artemis_models import Secret
from sqlalchemy import select
from sqlalchemy.orm import Session


def page_token_key(session: Session) -> bytes:
    """Returns the key of 32 bytes that page tokens are encrypted with."""
    return session.execute(select(Secret.value).where(Secret.name == "page_token")).scalar_one()
