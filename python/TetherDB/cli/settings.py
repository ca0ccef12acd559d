"""The options that all commands have, and the store that they name."""

from __future__ import annotations

import functools
import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from TetherDB import DB
from TetherDB._tetherdb import inspect_config
from TetherDB.cli.given import BUCKET

if TYPE_CHECKING:
    from collections.abc import Callable

BACKENDS = ("local", "dynamodb", "etcd")
VARIABLE = "TETHERDB_CONFIG"

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Settings:
    """What the options say, those before the command and those behind it together."""

    config_file: Path | None = None
    # Of the local backend, instead of what the configuration says.
    file: Path | None = None
    backend: str = "local"
    bucket: str = ""
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    # The names of those that were given, by an option or the environment.
    given: frozenset[str] = frozenset()

    @classmethod
    def of(cls, options: dict[str, Any]) -> Settings:
        """The settings of the options that were given; those that were not are None."""
        return cls().changed(options)

    def changed(self, options: dict[str, Any]) -> Settings:
        """These settings, with the options that were given behind the command."""
        ours = {name: value for name, value in options.items() if value is not None}
        return replace(self, given=self.given | set(ours), **ours)

    def configuration(self, *, journal: bool = False) -> dict[str, Any]:
        """The configuration as `DB` takes it.

        Without its journal, unless the command is about that: it has one owner, likely a running program.
        Raises ConfigError, which names every problem.
        """
        found: dict[str, Any] = {}
        if self.config_file is not None:
            inspect_config(config_file=self.config_file)
            found = json.loads(self.config_file.read_text("utf-8-sig"))
        found.pop("logging", None)
        # Each command says itself how it went.
        found |= {"errors": "raise", "debug": self.verbose}
        if self.file is not None:
            found["local"] = found.get("local", {}) | {"filepath": str(self.file)}
        if not journal:
            found["queue_batch"] = dict(found.get("queue_batch", {}))
            found["queue_batch"].pop("journal", None)
        return found

    def open(self, *, journal: bool = False) -> DB:
        """The store. Opening connects to nothing."""
        return DB(self.configuration(journal=journal))

    @property
    def backends(self) -> list[str]:
        """Those that are configured."""
        return inspect_config(self.configuration())["backends"]

    @property
    def local_file(self) -> Path:
        """The file of the local backend."""
        return inspect_config(self.configuration())["local"]

    @property
    def place(self) -> str:
        """Where the records are, for sentences."""
        bucket = f"bucket {json.dumps(self.bucket, ensure_ascii=False)} of " if self.bucket else ""
        if self.backend != "local":
            return f"{bucket}{self.backend}"
        file = self.local_file
        return f"{bucket}the file {file}" + ("" if file.exists() else ", which does not exist")


@dataclass(frozen=True)
class _Option:
    name: str
    declarations: tuple[str, ...]
    attributes: dict[str, Any]


_CONFIG = _Option(
    "config_file",
    ("--config", "-c", "config_file"),
    {
        "type": click.Path(path_type=Path),
        "metavar": "FILE",
        "help": f"The configuration file; else the one that {VARIABLE} names, else the defaults.",
    },
)
_FILE = _Option(
    "file",
    ("--file", "-f", "file"),
    {
        "type": click.Path(path_type=Path),
        "metavar": "FILE",
        "help": "The file of the local backend, whatever the configuration says.",
    },
)
_BACKEND = _Option(
    "backend",
    ("--backend", "-b", "backend"),
    {"type": click.Choice(BACKENDS), "help": "Which backend; local if not given."},
)
_BUCKET = _Option(
    "bucket",
    ("--bucket", "bucket"),
    {
        "type": BUCKET,
        "metavar": "NAME",
        "help": "The bucket; without it keys are the full ones, as BUCKET:KEY.",
    },
)
_JSON = _Option("json", ("--json", "json"), {"is_flag": True, "default": None, "help": "JSON, for machines."})
_QUIET = _Option(
    "quiet",
    ("--quiet", "-q", "quiet"),
    {"is_flag": True, "default": None, "help": "Errors and results alone."},
)
_VERBOSE = _Option(
    "verbose",
    ("--verbose", "-v", "verbose"),
    {"is_flag": True, "default": None, "help": "TetherDB's debug log, and where an error comes from."},
)
ALL = (_CONFIG, _FILE, _BACKEND, _BUCKET, _JSON, _QUIET, _VERBOSE)


def options(
    *, leave_out: tuple[str, ...] = ()
) -> Callable[[Callable[Concatenate[Settings, _P], _R]], Callable[_P, _R]]:
    """Gives a command the options that all have, and calls it with what they say as its first argument.

    leave_out: names of those that mean nothing to it; they are refused behind it.
    """

    def decorate(command: Callable[Concatenate[Settings, _P], _R]) -> Callable[_P, _R]:
        @functools.wraps(command)
        def call(*args: _P.args, **given: _P.kwargs) -> _R:
            context = click.get_current_context()
            settings = context.find_object(Settings) or Settings()
            ours: dict[str, Any] = {option.name: given.pop(option.name, None) for option in ALL}
            settings = settings.changed(ours)
            if settings.config_file is None and os.environ.get(VARIABLE):
                settings = settings.changed({"config_file": Path(os.environ[VARIABLE])})
            if settings.quiet:
                for handler in logging.getLogger("TetherDB").handlers:
                    handler.setLevel(logging.ERROR)
            # Whoever handles an error wants to know, too.
            context.find_root().obj = settings
            return command(settings, *args, **given)

        wrapped: Callable[_P, _R] = call
        for option in reversed(ALL):
            if option.name not in leave_out:
                wrapped = click.option(*option.declarations, **option.attributes)(wrapped)
        return wrapped

    return decorate
