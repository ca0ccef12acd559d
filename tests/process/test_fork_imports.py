"""A child forked while another thread of its parent imports a module: it must not wait for that module."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from process.scripts import Program, records, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the programs fork")

# Importing `SLOW` takes as long as the program likes.
SLOW_IMPORT = """
import faulthandler, os, sys, threading, time

class Slow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == SLOW:
            begun.set()
            time.sleep(0.5)

begun = threading.Event()
sys.meta_path.insert(0, Slow)

from TetherDB import DB

def in_child(work):
    pid = os.fork()
    if not pid:
        faulthandler.dump_traceback_later(20, exit=True)
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
"""


def script(folder: Path, slow: str, source: str) -> Path:
    """The program as a file: what runs a source in a string has imported half of the library before it."""
    path = folder / "program.py"
    path.write_text(f"SLOW = {slow!r}\n{SLOW_IMPORT}\n{source}")
    return path


def test_no_verb_imports_logging(tmp_path: Path) -> None:
    source = """
db = DB({"local": {"filepath": "store"}})
assert db.write_message("key", "value")
assert db.write_queue_message("queued", "value")
db.flush()
assert "logging" not in sys.modules
threading.Thread(target=lambda: __import__("logging"), daemon=True).start()
begun.wait()
# The module is half imported now, and stays so in the child.
in_child(lambda: db.write_message("child", "value"))
os._exit(0)
"""
    run(tmp_path, script(tmp_path, "logging", source)).quiet()
    assert set(records(tmp_path / "store")) == {"key", "queued", "child"}


def test_a_child_can_use_a_module_that_a_verb_of_its_parent_was_importing(tmp_path: Path) -> None:
    source = """
class Text(str):
    pass

# A value that the module json must write.
value = {"subclass": Text("value")}
db = DB({"local": {"filepath": "store"}})
thread = threading.Thread(target=db.write_message, args=("parent", value))
thread.start()
begun.wait()
in_child(lambda: db.write_message("child", value))
thread.join()
"""
    run(tmp_path, script(tmp_path, "json", source)).quiet()
    assert set(records(tmp_path / "store")) == {"parent", "child"}


REFUSED = """
import sqlite3

db = DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 60}})
db.write_message("key", "value")
with sqlite3.connect("store") as other:
    refuse = "SELECT RAISE(ABORT, 'by the trigger')"
    other.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON Dict BEGIN {refuse}; END")
other.close()

def give_up():
    db.write_queue_message("refused", "value")
    try:
        db.flush()
    except Exception as error:
        assert "by the trigger" in str(error), error
    else:
        raise AssertionError("nothing was given up")
"""


def test_an_error_goes_to_stderr_where_nobody_imports_logging(tmp_path: Path) -> None:
    source = f"""{REFUSED}
give_up()
assert "logging" not in sys.modules
"""
    with Program(tmp_path, script(tmp_path, "", source)) as program:
        result = program.finish()
    assert result.code == 0, result.err
    (line,) = result.err.splitlines()
    # As logging would write it: the text alone.
    assert line.startswith("Message given up [local]: 'refused'"), line
    assert "by the trigger" in line


@pytest.mark.parametrize("stream", ["None", "Broken()"])
def test_a_line_that_stderr_does_not_take_is_no_failure_of_the_verb(tmp_path: Path, stream: str) -> None:
    source = f"""
class Broken:
    def write(self, text):
        raise BrokenPipeError(text)

db = DB({{"local": {{"filepath": "missing/folder/store"}}, "errors": "log"}})
sys.stderr = {stream}
assert db.write_message("key", "value") is False
assert "logging" not in sys.modules
sys.stderr = sys.__stderr__
"""
    run(tmp_path, script(tmp_path, "", source)).quiet()


def test_lines_reach_a_log_file_set_up_after_the_first_verbs_until_the_end(tmp_path: Path) -> None:
    source = f"""{REFUSED}
# The worker is there, so that what is queued now takes the shortest way.
give_up()
import logging
# Opened anew, it would be empty.
logging.basicConfig(filename="log", filemode="w", format="%(levelname)s %(name)s %(message)s")
# Left to the end of the program, where logging closes its files.
db.write_queue_message("refused", "value")
"""
    with Program(tmp_path, script(tmp_path, "", source)) as program:
        result = program.finish()
    assert result.code == 0, result.err
    assert result.err.count("\n") == 1, "the line of before logging was there"
    log = (tmp_path / "log").read_text()
    assert log.startswith("ERROR TetherDB "), log
    assert "by the trigger" in log
