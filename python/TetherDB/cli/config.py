"""`config`: what is in a configuration, what is wrong with it, and what could be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import click

from TetherDB import ConfigError
from TetherDB._tetherdb import config_schema, inspect_config
from TetherDB.cli import output
from TetherDB.cli.failing import Code
from TetherDB.cli.settings import Settings, options

HIDDEN = "***"
SECRETS = {("etcd", "password")}


@click.group("config")
def config_command() -> None:
    """Check the configuration, or show it."""


@config_command.command("check")
@click.argument("checked", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@options(leave_out=("bucket", "backend"))
def check_command(settings: Settings, checked: Path | None) -> Code:
    """Name every problem of a configuration file, one a line.

    FILE is another way to say --config FILE. Nothing is connected to. Ends with 2
    if there is a problem.
    """
    if checked is not None:
        settings = settings.changed({"config_file": checked})
    name = "the defaults" if settings.config_file is None else str(settings.config_file)
    try:
        found = inspect_config(settings.configuration(journal=True))
    except ConfigError as error:
        problems = _problems(str(error), settings.config_file)
        if settings.json:
            output.as_json({"file": _text(settings.config_file), "problems": problems})
        for problem in problems if not settings.json else ():
            # What is wrong with a file as a whole names it.
            output.note(problem if problem.startswith(f"{name} ") else f"{name}: {problem}")
        return Code.WRONG_INPUT
    if settings.json:
        output.as_json(
            {
                "file": _text(settings.config_file),
                "problems": [],
                "local": str(found["local"]),
                "backends": found["backends"],
                "journal": _text(found["journal"]),
            }
        )
        return Code.DONE
    output.line(f"{output.printable(name)}: no problem")
    output.line(f"backends: {', '.join(found['backends'])}")
    output.line(f"local file: {output.printable(str(found['local']))}")
    output.line(f"journal: {output.printable(str(found['journal'] or 'none'))}")
    return Code.DONE


@config_command.command("show")
@options(leave_out=("bucket", "backend"))
def show_command(settings: Settings) -> None:
    """Print the configuration that commands use; passwords are hidden.

    What it does not name has its default.
    """
    configuration = settings.configuration(journal=True)
    inspect_config(configuration)
    for name in ("errors", "debug"):
        # They are for programs.
        del configuration[name]
    text = json.dumps(hidden(configuration), ensure_ascii=False, indent=None if settings.json else 2)
    output.line(output.readable(text))


@config_command.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of configuration files."""
    output.line(config_schema().rstrip("\n"))


def hidden(configuration: dict[str, Any]) -> dict[str, Any]:
    """The same without its secrets. The name of an environment variable is none."""
    shown: dict[str, Any] = {}
    for section, content in configuration.items():
        shown[section] = content
        if isinstance(content, dict):
            keys = cast("dict[str, Any]", content)
            shown[section] = {
                key: HIDDEN if (section, key) in SECRETS and not _is_variable(value) else value
                for key, value in keys.items()
            }
    return shown


def _is_variable(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\$\{\w+\}", value) is not None


def _problems(text: str, file: Path | None) -> list[str]:
    """The problems that a ConfigError names, without the file, which it names before the first."""
    return [problem.removeprefix(f"{file}: ") for problem in text.splitlines()]


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)
