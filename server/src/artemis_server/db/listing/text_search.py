"""Searches in text by the index that stands beside the tables (docs/adr/0050).

The index finds candidates: every event that the filter chooses, and others. The filter decides about each of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from artemis_models import text_index
from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from artemis_server.db.statements import Statement
from artemis_server.query.tree import And, Compare, Matches, Node, Operator, Or

MIN_CHARACTERS = 3
"""The characters of a trigram. A shorter text has none, and the index does not find it."""
MAX_TRIGRAMS = 12
"""The most trigrams of a text that are asked for; the others add little."""
SQLITE_CANDIDATES = (
    "SELECT rowid AS id FROM event_texts WHERE event_texts MATCH :match AND rowid > :after "
    "UNION SELECT event_id FROM event_text_queue WHERE event_id > :after "
    "UNION SELECT id FROM events NOT INDEXED WHERE id > max(:after, (SELECT last_id FROM event_text_progress)) "
    "ORDER BY 1 LIMIT :max_candidates"
)
"""The ids of candidates after an id, in their order: what the index finds, and all events that wait for it.

SQLite makes them one by one as long as they are asked for. The LIMIT, which may be -1, is necessary for that: without
it, SQLite drops the ORDER BY of a subquery, and collects and sorts all parts. So join a subquery of it by CROSS JOIN,
and give the statement around it a LIMIT and no ORDER BY of its own.
"""
_IS_MADE = Statement(
    sql(
        "SELECT 1 FROM sqlite_master WHERE name = 'event_texts' "
        "AND EXISTS (SELECT 1 FROM pragma_module_list WHERE name = 'fts5')"
    )
)
_ALTERED = re.compile("[\0\ufffd-\uffff]")
"""Characters that SQLite's tokenizer makes another one of, or ends the text at, in some of its versions."""


@dataclass(frozen=True)
class Search:
    """At least one of these columns contains the text."""

    fields: tuple[str, ...]
    text: str


def searches(where: Node) -> tuple[Search, ...]:
    """Returns searches that hold for each event for which the filter holds, and that the index can answer.

    name:"robot" AND category = "x"     (Search(("name",), "robot"),)
    "robot" start_time > "2026-11-24"   (Search(("name", "description"), "robot"),)
    NOT "robot"; "ab"; category:robot   ()
    """
    return tuple(dict.fromkeys(_searches(where)))


def match(found: tuple[Search, ...]) -> str:
    """Returns the query of FTS5 for all of these searches, of which there is at least one.

        (Search(("name", "location"), "abcd"),)     {name location} : ("abc" AND "bcd")

    It asks for the trigrams of a text in any place, because the index does not have their places.
    """
    return " AND ".join(f"{{{' '.join(each.fields)}}} : ({_all(each.text)})" for each in found)


def is_available(session: Session) -> bool:
    """Tells whether this SQLite has the index and can use it, for 20 us."""
    return _IS_MADE.first(session, {}) is not None


def _searches(node: Node) -> Iterator[Search]:
    if isinstance(node, And):
        for term in node.terms:
            yield from _searches(term)
    elif (found := _search(node)) is not None:
        yield found


def _search(node: Node) -> Search | None:
    """Returns the search that holds wherever the node holds; None if the index has no answer."""
    match node:
        case Matches("name", open_start=False) | Compare("name"):
            return None  # it has an index of its own
        case Matches(field, text) | Compare(field, Operator.EQ, str(text)) if field in text_index.COLUMNS:
            return Search((field,), text) if any(_trigrams(text)) else None
        case Or(terms):
            found = [_search(term) for term in terms]
            texts = {each and each.text for each in found}
            if len(texts) == 1 and None not in texts:
                fields = dict.fromkeys(field for each in found if each for field in each.fields)
                return Search(tuple(fields), str(texts.pop()))
    return None


def _trigrams(text: str) -> Iterator[str]:
    """Yields each three characters in a row, in which no version of SQLite alters one: "abcd" gives "abc", "bcd"."""
    for start in range(len(text) - MIN_CHARACTERS + 1):
        trigram = text[start : start + MIN_CHARACTERS]
        if not _ALTERED.search(trigram):
            yield trigram


def _all(text: str) -> str:
    """Returns the query for the trigrams of a text, for MAX_TRIGRAMS of them if they are more: each takes time."""
    quoted = list(dict.fromkeys(trigram.replace('"', '""') for trigram in _trigrams(text)))
    last = len(quoted) - 1
    if last >= MAX_TRIGRAMS:
        quoted = [quoted[place * last // (MAX_TRIGRAMS - 1)] for place in range(MAX_TRIGRAMS)]
    return " AND ".join(f'"{trigram}"' for trigram in quoted)
