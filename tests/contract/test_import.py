"""`import TetherDB`: what it offers, and that it does nothing by itself."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import TetherDB

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

LOOK_AROUND = """
import json, logging, os, sys, threading

def look():
    proc = "/proc/self/"
    return {
        "threads": len(os.listdir(proc + "task")) if os.path.exists(proc) else threading.active_count(),
        "open": sorted(os.readlink(proc + "fd/" + fd) for fd in os.listdir(proc + "fd") if
                       os.path.islink(proc + "fd/" + fd)) if os.path.exists(proc) else [],
        "files": os.listdir(),
        "root": (repr(logging.getLogger().handlers), logging.getLogger().level),
        "ours": (repr(logging.getLogger("TetherDB").handlers), logging.getLogger("TetherDB").level),
    }

before = look()
import TetherDB
print(json.dumps([before, look()]))
"""


def test_import_opens_nothing_starts_no_thread_and_sets_up_no_logging(run_python: Run) -> None:
    done = run_python(LOOK_AROUND)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after == before


def test_import_prints_nothing(run_python: Run) -> None:
    done = run_python("import TetherDB")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_needs_no_module_outside_the_standard_library(run_python: Run) -> None:
    program = """
import sys
import TetherDB
names = {name.partition(".")[0] for name in sys.modules if not name.startswith("_")}
print(names - sys.stdlib_module_names - {"TetherDB", "sitecustomize", "usercustomize"})
"""
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    # Import hooks of editable installations are not ours.
    loaded = {name for name in eval(done.stdout) if not name.startswith("__editable__")}
    assert loaded == set()


def test_opening_a_db_creates_no_file_and_starts_no_thread(run_python: Run, tmp_path: Path) -> None:
    program = LOOK_AROUND.replace("import TetherDB\n", "import TetherDB\ndb = TetherDB.DB()\n")
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after["threads"] == before["threads"]
    assert after["files"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TetherDB.__all__)
def test_everything_in_all_is_there(name: str) -> None:
    assert getattr(TetherDB, name) is not None


def test_version_is_the_one_of_the_distribution() -> None:
    assert metadata.version("tetherdb") == TetherDB.__version__


def test_the_distribution_requires_nothing_but_for_extras() -> None:
    assert [line for line in metadata.requires("tetherdb") or [] if "extra ==" not in line] == []


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(TetherDB.__path__[0], "py.typed").is_file()
