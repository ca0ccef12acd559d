"""`completion`: what makes a shell complete commands, options and names of files."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from TetherDB.cli import output
from TetherDB.cli.failing import Stop

LINES = {
    "bash": 'Put into ~/.bashrc:  eval "$(tetherdb completion bash)"',
    "zsh": 'Put into ~/.zshrc:  eval "$(tetherdb completion zsh)"',
    "fish": "Put into ~/.config/fish/completions/tetherdb.fish:  tetherdb completion fish | source",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(LINES)))
def completion_command(shell: str) -> None:
    """Print the script that makes a shell complete this command."""
    from TetherDB.cli.app import COMPLETION, tetherdb

    found = get_completion_class(shell)
    if found is None:
        raise Stop(f"click knows no completion for {shell}")
    # That of the base class: bash's own looks for a bash, which need not be on this machine.
    output.line(f"# {LINES[shell]}")
    output.line(ShellComplete.source(found(tetherdb, {}, "tetherdb", COMPLETION)))
