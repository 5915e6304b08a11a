"""WatchEvents: one thread follows the log of changes, and another sends what it finds to every watcher (docs/adr/0037).

No watcher has a thread or a connection of its own.
"""
