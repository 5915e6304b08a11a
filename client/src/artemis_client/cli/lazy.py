"""Commands whose help ends with examples, and groups that import a command when it is called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from artemis_client.cli.options import use_color


@dataclass(frozen=True)
class Lazy:
    """A command that is not built yet: its short help, and the function of a module that builds it."""

    help: str
    module: str
    function: str
    arguments: tuple[Any, ...] = ()

    def build(self) -> click.Command:
        """Imports the module and returns the command."""
        build: Callable[..., click.Command] = getattr(import_module(self.module), self.function)
        return build(*self.arguments)


class Command(click.Command):
    """A command with examples, which a test runs."""

    def __init__(self, name: str, *, examples: Sequence[str], **settings: Any) -> None:
        super().__init__(name, **settings)
        self.examples = examples

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, with or without colours."""
        ctx.color = use_color()
        return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - of the interface
        """Writes the examples."""
        write_examples(self.examples, formatter)


class LazyGroup(click.Group):
    """A group of commands that are imported when they are called, listed in the order of their declaration."""

    def __init__(self, name: str, *, commands: Mapping[str, Lazy], examples: Sequence[str], **settings: Any) -> None:
        super().__init__(name, **settings)
        self._lazy = commands
        self.examples = examples

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - of the interface
        """Returns the names."""
        return [*self._lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Builds a command."""
        found = self._lazy.get(cmd_name)
        return found.build() if found else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Writes the names with their short helps, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.help) for name, each in self._lazy.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Writes the examples."""
        write_examples(self.examples, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Completes the name of a command without building any, and options."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only the shell needs it

        names = [CompletionItem(name, help=each.help) for name, each in self._lazy.items()]
        found = [each for each in names if each.value.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Writes examples, each on a line of its own that a reader can copy."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{' ' * formatter.current_indent}$ {example}\n")
