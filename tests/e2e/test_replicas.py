"""Two servers on one database, of either engine: what one changes, the other sees at once."""

import pytest
from artemis_client import ArtemisClient, Event, NotFound

from tests.e2e.samples import event
from tests.e2e.servers import serving


def test_what_another_server_changes_is_never_stale(database_url: str) -> None:
    """Also when the other has read the event before, and keeps what it answered."""
    with (
        serving(database_url) as one,
        serving(database_url) as other,
        ArtemisClient(one.target) as first,
        ArtemisClient(other.target) as second,
    ):
        current = first.events.create(event())
        for number in range(5):
            assert current == second.events.get(current.id) == second.events.get(current.id)
            assert [current] == list(second.events.list(filter=f"id = {current.id}"))
            current = first.events.update(Event(id=current.id, location=str(number)))
        first.events.delete(current.id)
        assert list(second.events.list(filter=f"id = {current.id}")) == []
        with pytest.raises(NotFound):
            second.events.get(current.id)
