"""Connections: the database that is shared, the sessions it lends, how writes are committed, and what ends them."""
