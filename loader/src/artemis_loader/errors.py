"""Errors that stop a load, each with a text of one line.

LoaderError
├── ConfigError   the declaration of a feed cannot be used
├── ListenError   the metrics cannot be served
└── FeedError     a feed cannot be fetched, or not be read to its end
"""


class LoaderError(Exception):
    """A load cannot go on; the text is one line for people, without secrets."""


class ConfigError(LoaderError):
    """The configuration cannot be used; the text names the file and the key or line."""


class ListenError(LoaderError):
    """Nothing can listen on the address of the metrics."""


class FeedError(LoaderError):
    """A feed cannot be fetched, or not be read to its end; nothing of it may be stored."""
