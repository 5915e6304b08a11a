"""`artemis completion`: the script for a shell."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from artemis_client.cli.lazy import Command

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


def completion() -> Command:
    """Builds the command."""

    def run(shell: str) -> None:
        root = click.get_current_context().find_root().command
        click.echo(SHELLS[shell](root, {}, "artemis", "_ARTEMIS_COMPLETE").source())

    return Command(
        "completion",
        callback=run,
        params=[click.Argument(["shell"], type=click.Choice([*SHELLS]))],
        help="""Print the script that completes commands, options and fields when you press Tab.

Load it when the shell starts: in ~/.bashrc `source <(artemis completion bash)`, in ~/.zshrc the same with zsh, and for
fish `artemis completion fish > ~/.config/fish/completions/artemis.fish`.""",
        examples=("artemis completion bash", "artemis completion zsh", "artemis completion fish"),
    )
