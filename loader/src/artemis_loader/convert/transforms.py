r"""Changes the text that a source gives, in a fixed order: extract, replace, case, map.

`extract = "#(\d+)"` and `map = { "7" = "seven" }` make "seven" of "Room #7".
"""

from collections.abc import Callable
from typing import TypeAlias

from artemis_loader.convert.patterns import Pattern, compile_pattern, compile_replacement
from artemis_loader.feeds import Source
from artemis_loader.formats.rows import is_unicode

OTHERS = "*"
"""The key of `map` that stands for every text without a key of its own."""
_CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "title": str.title}

Transform: TypeAlias = Callable[[str], str]


def compile_transforms(source: Source) -> Transform:
    """Returns the function that changes a text of the source. A missing text, "", stays missing."""
    steps: list[Transform] = []
    if source.extract:
        steps.append(_extract(compile_pattern(source.extract)))
    steps += [_replace(pattern, replacement) for pattern, replacement in source.replace]
    if source.case:
        steps.append(_CASES[source.case])
    if source.map:
        steps.append(_map(source))

    def transform(text: str) -> str:
        for step in steps:
            text = text and step(text).strip()
        return text

    return transform


def _extract(pattern: Pattern) -> Transform:
    def extract(text: str) -> str:
        match = pattern.search(text) if is_unicode(text) else None
        return (match.group(1 if pattern.groups else 0) or "") if match else ""

    return extract


def _replace(text_of_pattern: str, text: str) -> Transform:
    pattern = compile_pattern(text_of_pattern)
    replacement = compile_replacement(pattern, text)
    return lambda text: pattern.sub(replacement, text) if is_unicode(text) else text


def _map(source: Source) -> Transform:
    texts, others = source.map, source.map.get(OTHERS)
    if others is None:
        return lambda text: texts.get(text, text)
    return lambda text: texts.get(text, others)
