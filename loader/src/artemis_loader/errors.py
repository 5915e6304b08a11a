"""What stops a load, each told in one line.

LoaderError
├── ConfigError   the declaration of a feed cannot be used
└── FeedError     a feed cannot be fetched, or not be read to its end
"""


def told(text: str) -> str:
    """Returns an error as every database and terminal takes it: names of files and columns may be any bytes."""
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


class LoaderError(Exception):
    """A load cannot go on; the text is one line for people, without secrets."""


class ConfigError(LoaderError):
    """The configuration cannot be used; the text names the file and the key or line."""


class FeedError(LoaderError):
    """A feed cannot be fetched, or not be read to its end; nothing of it may be stored."""
