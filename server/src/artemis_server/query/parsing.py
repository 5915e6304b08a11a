"""The parsers of both languages, and their error messages."""

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, TypeVar

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from artemis_server.errors import InvalidArgument, Violation

T = TypeVar("T")
_END = "$END"


class Mistake(Exception):
    """A mistake in the text: its position (from 0), its description and, by name, the parts of it that vary."""

    def __init__(self, position: int, description: str, **values: object) -> None:
        super().__init__(description)
        self.position = position
        self.description = description
        self.values = {name: str(value) for name, value in values.items()}


class Language:
    """A grammar, and the names of its tokens in error messages.

    The parser is LALR(1): its time is proportional to the length of the text, and its stack does not grow with it.
    """

    def __init__(self, grammar: str, field: str, names: Mapping[str, str]) -> None:
        self._text = resources.files(__package__).joinpath(grammar).read_text(encoding="utf-8")
        self._field = field
        self._names = {**names, _END: "the end"}

    def parser(self, transformer: "Transformer[Token, T]", postlex: Any = None) -> "Callable[[str], T]":
        """Returns a function that parses a text and gives each part to the transformer on the way.

        `postlex` is what Lark calls so: its method `process` checks the tokens before the parser gets them.

        Raises:
            InvalidArgument: raised by the function; it names the position.
        """
        lark = Lark(self._text, parser="lalr", maybe_placeholders=False, transformer=transformer, postlex=postlex)

        def parse(text: str) -> T:
            try:
                return lark.parse(text)  # type: ignore[return-value]
            except UnexpectedInput as error:
                raise self._error(self._explain(error, text)) from None
            except Mistake as error:
                raise self._error(error) from None

        return parse

    def _error(self, mistake: Mistake) -> InvalidArgument:
        position = str(mistake.position + 1)
        return InvalidArgument(
            Violation(
                field=self._field,
                description=f"at position {position}: {mistake.description}",
                rule=f"{self._field}.syntax",
                values={"position": position, **mistake.values},
            ),
            reason=f"INVALID_{self._field.upper()}",
        )

    def _explain(self, error: UnexpectedInput, text: str) -> Mistake:
        position = len(text) if error.pos_in_stream is None or error.pos_in_stream < 0 else error.pos_in_stream
        if isinstance(error, UnexpectedCharacters):
            if text[position] in "\"'":
                return Mistake(position, f"{text[position]} is never closed", found=text[position])
            return self._unexpected(position, error.allowed, text[position])
        assert isinstance(error, UnexpectedToken)  # noqa: S101, for the type checker
        if error.token.type == _END:
            return Mistake(len(text), f"expected {self._list(error.accepts or error.expected)}, not the end")
        return self._unexpected(position, error.accepts or error.expected, error.token)

    def _unexpected(self, position: int, expected: set[str], found: str) -> Mistake:
        return Mistake(position, f'expected {self._list(expected)}, not "{found}"', found=found)

    def _list(self, terminals: set[str]) -> str:
        names = sorted({self._names[each] for each in terminals if each in self._names})
        return " or ".join(names) or "something else"
