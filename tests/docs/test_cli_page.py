"""The pages name every command, option and exit code of the command line."""

from __future__ import annotations

import click
import pytest

from TetherDB.cli.app import COMMANDS, tetherdb
from TetherDB.cli.failing import Code
from TetherDB.cli.settings import ALL

from .doc_pages import ROOT, code, read, table

PAGE = read("docs/cli.md")
# Some commands have pages of their own.
PAGES = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))


def commands() -> list[tuple[str, click.Command]]:
    """All commands, those of groups as "journal show"."""
    context = click.Context(tetherdb)
    found: list[tuple[str, click.Command]] = []
    for name in COMMANDS:
        command = tetherdb.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", command.commands[inner]) for inner in command.commands]
    return found


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda given: str(given))
def test_every_command_is_there_with_its_own_options(name: str, command: click.Command) -> None:
    if not isinstance(command, click.Group):
        assert f"`{name}" in PAGES or f"tetherdb {name}" in PAGES
    of_all = {option.name for option in ALL}
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in of_all:
            assert any(f"`{option}" in PAGES or f" {option}" in PAGES for option in parameter.opts), parameter


def test_the_options_of_all_commands() -> None:
    documented = [
        words[0].partition(" ")[0] for row in table(PAGE, "option") if (words := code(row[0])[::-1])
    ]
    declared = [next(text for text in option.declarations if text.startswith("--")) for option in ALL]
    assert documented == [
        "--config", "--file", "--backend", "--bucket", "--json", "--quiet", "--verbose"
    ] == declared  # fmt: skip


def test_the_exit_codes() -> None:
    assert [int(row[0]) for row in table(PAGE, "exit code")] == [int(found) for found in Code]
