"""Interpreters that the package is not for: the import fails, and says why."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import TetherDB

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

PACKAGE = Path(TetherDB.__path__[0])
FIND = Path(__file__).resolve().parents[2] / "scripts" / "find-python.sh"


def says(version: str) -> str:
    return (
        f"ImportError: TetherDB needs Python 3.11 or newer, and this is Python {version}: "
        "run the program with a newer one."
    )


def test_an_older_python_is_refused_in_words(run_python: Run) -> None:
    program = "import sys; sys.version_info = (3, 10, 2, 'final', 0); import TetherDB"
    done = run_python(program)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == says("3.10")


def test_older_ones_can_read_the_file_that_says_so() -> None:
    ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"), feature_version=(3, 4))


@pytest.mark.parametrize("version", ["3.10", "3.9", "3.8", "3.7", "3.6"])
def test_a_real_older_python_is_refused_where_the_package_was_put_by_hand(
    version: str, tmp_path: Path
) -> None:
    found = subprocess.run(["sh", str(FIND), version], capture_output=True, text=True).stdout.strip()
    if not found:
        pytest.skip(f"there is no Python {version}")
    shutil.copytree(PACKAGE, tmp_path / "TetherDB", ignore=shutil.ignore_patterns("__pycache__"))
    command = [found, "-c", "import TetherDB"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == says(version)


SUBINTERPRETER = """
import sys
import TetherDB
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
else:
    import _xxsubinterpreters as interpreters
code = '''
try:
    import TetherDB
except ImportError as refused:
    print(refused, flush=True)
'''
interpreters.run_string(interpreters.create(), code)
TetherDB.DB().read_message("key")
"""


@pytest.mark.skipif(sys.version_info >= (3, 15), reason="their private module is known until 3.14")
def test_a_subinterpreter_is_refused_and_the_first_one_works_on(run_python: Run) -> None:
    done = run_python(SUBINTERPRETER)
    assert done.returncode == 0, done.stderr
    assert "subinterpreters" in done.stdout
