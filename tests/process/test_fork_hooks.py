"""A program's own hooks around `fork` may use a handle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .scripts import records, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# Its arguments: which hook, whether it is registered before the first handle is opened, and what it does.
PROGRAM = """
    import faulthandler
    import TetherDB
    which, order, call = sys.argv[1:]
    # Whoever hangs shows where, the child too.
    faulthandler.dump_traceback_later(30, exit=True)

    def hook():
        exec(call)

    def open_db():
        return TetherDB.DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 60}})

    if order == "after":
        db = open_db()
    os.register_at_fork(**{which: hook})
    if order == "before":
        db = open_db()
    db.write_message("parent", "text")
    db.write_queue_message("parent-queued", "text")
    child = os.fork()
    if not child:
        assert db.write_message("child", "text")
        assert db.read_message("parent") == "text"
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, code
    assert db.write_message("parent", "again")
    db.stop()
"""


@pytest.mark.parametrize("call", ["db.write_message('hook', 'text')", "db.flush()", "db.stop()"])
@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("which", ["before", "after_in_parent", "after_in_child"])
def test_a_hook_may_use_a_handle(tmp_path: Path, which: str, order: str, call: str) -> None:
    run(tmp_path, PROGRAM, which, order, call).quiet()
    expected = {"parent": "again", "parent-queued": "text", "child": "text"}
    if "hook" in call:
        expected["hook"] = "text"
    assert records(tmp_path / "store") == expected


@pytest.mark.parametrize("which", ["before", "after_in_parent", "after_in_child"])
def test_a_hook_may_drop_a_handle(tmp_path: Path, which: str) -> None:
    source = """
        import faulthandler
        import TetherDB
        faulthandler.dump_traceback_later(30, exit=True)

        def open_db(name):
            return TetherDB.DB({"local": {"filepath": name}})

        dropped = []
        os.register_at_fork(**{sys.argv[1]: dropped.clear})
        dropped.append(open_db("dropped"))
        dropped[0].write_message("key", "text")
        db = open_db("store")
        db.write_message("parent", "text")
        child = os.fork()
        if not child:
            assert db.write_message("child", "text")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, code
        db.stop()
    """
    run(tmp_path, source, which).quiet()
    assert records(tmp_path / "store") == {"parent": "text", "child": "text"}
