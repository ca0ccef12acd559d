"""The command as users run it: a process with its own streams."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Seconds; nothing here takes long.
PATIENCE = 60


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def tetherdb(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `tetherdb` with these arguments, in the temporary folder, on what it gets as its input."""

    def run(*arguments: str | Path, stdin: str | bytes = b"", **environment: str) -> Ran:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        ended = subprocess.run(
            [sys.executable, "-m", "TetherDB", *map(str, arguments)],
            cwd=tmp_path,
            input=given,
            capture_output=True,
            env=clean_environment() | environment,
            timeout=PATIENCE,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


def clean_environment() -> dict[str, str]:
    """This environment without what would change what the command does."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TETHERDB_")}
