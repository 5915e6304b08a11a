"""The order of a list (AIP-132): from text to sort keys. `start_time desc` becomes start_time descending, then id."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor
from lark import Token, Transformer, v_args

from artemis_server.query.fields import Field, Kind, fields_of
from artemis_server.query.parsing import Language, Mistake

_LANGUAGE = Language("order.lark", "order_by", {"NAME": "a field", "COMMA": ",", "ASC": "asc", "DESC": "desc"})


@dataclass(frozen=True)
class SortKey:
    """A field to sort by."""

    field: Field
    descending: bool


@cache  # to make a parser takes 5 ms
def order_parser(descriptor: "Descriptor") -> Callable[[str], tuple[SortKey, ...]]:
    """Returns a function that turns an order into its keys; the last one is the id, so that the order is total.

    Raises:
        InvalidArgument: raised by the function; it names the position.
    """
    return _LANGUAGE.parser(_Builder(fields_of(descriptor)))


@v_args(inline=True)
class _Builder(Transformer[Token, tuple[SortKey, ...]]):
    def __init__(self, fields: dict[str, Field]) -> None:
        super().__init__()
        self._fields = fields

    def start(self, *parts: tuple[Token, SortKey]) -> tuple[SortKey, ...]:
        """The whole order. Keys after the id are dropped: no two rows have the same id."""
        names = [str(name) for name, _ in parts]
        for index, (name, _) in enumerate(parts):
            if name in names[:index]:
                raise Mistake(name.start_pos or 0, f"{name} is there already", name=name)
        keys = tuple(key for _, key in parts)
        if "id" in names:
            return keys[: names.index("id") + 1]
        return (*keys, SortKey(self._fields["id"], descending=False))

    def key(self, name: Token, direction: Token | None = None) -> tuple[Token, SortKey]:
        """A field and its direction, with the token that names it."""
        field = self._fields.get(name)
        if field is None or field.kind is Kind.ETAG:
            names = ", ".join(each.name for each in self._fields.values() if each.kind is not Kind.ETAG)
            raise Mistake(name.start_pos or 0, f'cannot sort by "{name}"; the fields are {names}', name=name)
        return name, SortKey(field, direction is not None and direction.type == "DESC")
