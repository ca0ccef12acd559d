"""Which error ends how: mistakes of users in one line, bugs of the command as such."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from TetherDB import (
    BackendError,
    BackendNotConfigured,
    ConfigError,
    DeliveryError,
    FlushTimeout,
    LimitExceeded,
    QueueFull,
    Unavailable,
)
from TetherDB.cli.failing import Code, Stop, explain, one_line, refusals

from .conftest import clean_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Stop("text"), Code.WRONG_INPUT),
        (Stop("text", Code.FAILED), Code.FAILED),
        (ConfigError("text"), Code.WRONG_INPUT),
        (BackendNotConfigured("text"), Code.WRONG_INPUT),
        (LimitExceeded("text"), Code.WRONG_INPUT),
        (BackendError("text", "etcd"), Code.FAILED),
        (Unavailable("text", "etcd"), Code.FAILED),
        (DeliveryError("text"), Code.FAILED),
        (FlushTimeout("text"), Code.FAILED),
        (QueueFull("text"), Code.FAILED),
        (OSError(28, "text"), Code.FAILED),
        (click.ClickException("text"), Code.WRONG_INPUT),
    ],
)
def test_the_kind_of_an_error_is_its_code(error: Exception, code: Code) -> None:
    assert explain(error) == ("text", code)


def test_interruptions() -> None:
    assert explain(KeyboardInterrupt()) == ("interrupted", Code.INTERRUPTED)
    assert explain(click.Abort()) == ("interrupted", Code.INTERRUPTED)


def test_a_refusal_is_the_users_mistake_at_the_verb_alone() -> None:
    for error in (ValueError("text"), TypeError("text")):
        assert explain(error)[1] == Code.BUG
        with pytest.raises(Stop, match="text") as refused, refusals():
            raise error
        assert explain(refused.value) == ("text", Code.WRONG_INPUT)
    with pytest.raises(LimitExceeded), refusals():
        raise LimitExceeded("text")
    with pytest.raises(KeyError), refusals():
        raise KeyError("text")


def test_problems_of_several_lines_are_one() -> None:
    assert one_line("one.\n  two.\n") == "one.; two."


BROKEN = """
from TetherDB.cli import status
from TetherDB.cli.app import run

def broken(settings):
    raise ValueError("a \\x1b[2J bug")

status.Settings.open = broken
raise SystemExit(run(__import__("sys").argv[1:]))
"""


def test_a_bug_says_that_it_is_one(tmp_path: Path) -> None:
    for more, lines in (([], 1), (["--verbose"], 8)):
        command = [sys.executable, "-c", BROKEN, "ping", *more]
        ended = subprocess.run(
            command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stdout) == (70, "")
        first, *rest = ended.stderr.splitlines()
        assert first == (
            "tetherdb: ValueError: a \\u001b[2J bug. This is a bug of TetherDB: please report it; "
            "--verbose shows where"
        )
        assert len(rest) + 1 >= lines
        assert bool(rest) == bool(more)
