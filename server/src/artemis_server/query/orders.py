"""The order of a list (AIP-132): from text to sort keys."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor
from lark import Token, Transformer, v_args

from artemis_server.query.fields import Field, Kind, fields_of
from artemis_server.query.parsing import Language, Mistake

_LANGUAGE = Language("order.lark", "order_by", {"NAME": "a field", "COMMA": ",", "ASC": "asc", "DESC": "desc"})


@dataclass(frozen=True)
class Key:
    """A field to sort by."""

    field: Field
    descending: bool


def order_parser(descriptor: "Descriptor") -> Callable[[str], tuple[Key, ...]]:
    """Returns a function from an order to its keys, the last of which is the id: the order is total.

    Raises:
        InvalidArgument: by the function; it tells the position.
    """
    return _LANGUAGE.parser(_Builder(fields_of(descriptor)))


@v_args(inline=True)
class _Builder(Transformer[Token, tuple[Key, ...]]):
    def __init__(self, fields: dict[str, Field]) -> None:
        super().__init__()
        self._fields = fields

    def start(self, *parts: tuple[Token, Key]) -> tuple[Key, ...]:
        """The whole order. What comes after the id cannot matter."""
        names = [str(name) for name, _ in parts]
        for index, (name, _) in enumerate(parts):
            if name in names[:index]:
                raise Mistake(name.start_pos or 0, f"{name} is there already")
        keys = tuple(key for _, key in parts)
        return keys[: names.index("id") + 1] if "id" in names else (*keys, Key(self._fields["id"], descending=False))

    def key(self, name: Token, direction: Token | None = None) -> tuple[Token, Key]:
        """A field and its direction, with the place where it is."""
        field = self._fields.get(name)
        if field is None or field.kind is Kind.ETAG:
            known = ", ".join(each.name for each in self._fields.values() if each.kind is not Kind.ETAG)
            raise Mistake(name.start_pos or 0, f'cannot sort by "{name}"; the fields are {known}')
        return name, Key(field, direction is not None and direction.type == "DESC")
