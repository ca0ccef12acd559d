"""Importing and opening do nothing that anybody could notice."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from .scripts import run

if TYPE_CHECKING:
    from pathlib import Path

LOOK = """
def look():
    files = {number: os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
             if os.path.exists(f"/proc/self/fd/{number}")}
    return {"threads": len(os.listdir("/proc/self/task")), "files": sorted(files.values()),
            "here": sorted(os.listdir(".")), "signals": [signal.getsignal(number) for number in
            (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)], "handlers": len(logging.getLogger().handlers)}
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at /proc")
@pytest.mark.parametrize(
    "action",
    [
        "import TetherDB",
        "import TetherDB; db = TetherDB.DB()",
        "import TetherDB; db = TetherDB.DB(); assert db.read_message('key') is None",
        "import TetherDB; db = TetherDB.DB(); assert db.list_keys()['keys'] == []",
        "import TetherDB; db = TetherDB.DB(); assert db.update_message('key', 'value') is False",
        "import TetherDB; db = TetherDB.DB(); assert db.delete_message('key') is False",
        "import TetherDB; db = TetherDB.DB(); db.flush(); db.stop()",
    ],
)
def test_opens_nothing_starts_nothing_prints_nothing(tmp_path: Path, action: str) -> None:
    source = LOOK + f"before = look()\n{action}\nafter = look()\nassert before == after, (before, after)\n"
    assert run(tmp_path, source).quiet() == ""
    assert list(tmp_path.iterdir()) == []


def test_the_first_direct_write_starts_no_thread(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        db = DB()
        assert db.write_message("key", "value")
        assert db.read_message("key") == "value"
        print(json.dumps([thread.name for thread in threading.enumerate()]))
        if sys.platform.startswith("linux"):
            assert len(os.listdir("/proc/self/task")) == 1
    """
    assert json.loads(run(tmp_path, source).quiet()) == ["MainThread"]


def test_stop_ends_the_thread_and_closes_the_file(tmp_path: Path) -> None:
    source = LOOK + (
        "from TetherDB import DB\n"
        "before = look()\n"
        "with DB() as db:\n"
        "    db.write_queue_message('key', 'value')\n"
        "    assert db.read_message('other') is None\n"
        "deadline = time.monotonic() + 10\n"
        "while len(os.listdir('/proc/self/task')) > before['threads'] and time.monotonic() < deadline:\n"
        "    time.sleep(0.01)\n"
        "after = look()\n"
        "assert after == {**before, 'here': ['localdb']}, (before, after)\n"
    )
    assert run(tmp_path, source).quiet() == ""


def test_no_open_file_is_inherited_by_other_programs(tmp_path: Path) -> None:
    source = """
        import subprocess
        from TetherDB import DB
        db = DB()
        db.write_message("key", "value")
        assert db.read_message("key") == "value"
        look = "import os; print([os.path.realpath(f'/dev/fd/{n}') for n in os.listdir('/dev/fd')])"
        said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, close_fds=False)
        assert said.returncode == 0 and "localdb" not in said.stdout, said
    """
    assert run(tmp_path, source).quiet() == ""
