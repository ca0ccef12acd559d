"""What a command imports: starting takes longer than most of them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB.cli.app import COMMANDS

from .conftest import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOOK = """
import sys
from TetherDB.cli.app import run
code = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--version"], None),
        (["get", "a"], "reading"),
        (["get", "a", "--json"], "reading"),
        (["put", "a", "2"], "writing"),
        (["list", "--values"], "listing"),
        (["ping"], "status"),
        (["stats"], "stats"),
        (["config", "check"], "config"),
    ],
)
def test_only_what_is_needed_is_imported(
    store: Callable[[Mapping[str, Any]], None], tmp_path: Path, arguments: list[str], module: str | None
) -> None:
    store({"a": "1"})
    command = [sys.executable, "-c", LOOK, *arguments]
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(ended.stderr.split())
    assert "click" in imported
    assert not {"rich", "textual", "asyncio", "TetherDB.opentelemetry"} & imported
    commands = set(COMMANDS.values())
    ours = {name for name in commands if f"TetherDB.cli.{name}" in imported}
    # `stats` pings, and writing says of a missing key what reading does.
    assert ours - {"status", "reading"} <= {module}


def test_the_library_imports_nothing_of_it() -> None:
    program = (
        "import sys, TetherDB; print(*(m for m in sys.modules if 'cli' in m.split('.') or m == 'click'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "\n"
