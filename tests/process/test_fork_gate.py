"""`fork` waits for a line that is being logged, but not for ever: what its children make of that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from .scripts import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# `during_fork` runs while nobody can log a line: it is registered before our own hook. `log` logs one.
PROGRAM = """
    import faulthandler
    # Whoever hangs shows where, the children too.
    faulthandler.dump_traceback_later(50, exit=True)
    during_fork = []
    os.register_at_fork(before=lambda: [call() for call in during_fork])
    from TetherDB import DB
    db = DB({"local": {"filepath": "store"}, "errors": "log"})

    class Filter(logging.Filter):
        calls = []

        def filter(self, record):
            for call in self.calls:
                call()
            return False

    logging.getLogger("TetherDB").addFilter(Filter())

    def log():
        assert db.write_message("", "text") is False

    def in_thread(work):
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread

    def in_child(work):
        pid = os.fork()
        if not pid:
            # What is raised here must not be taken for the parent's.
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == 0, code
"""


@pytest.mark.parametrize("generations", [1, 2])
def test_a_fork_that_gave_up_waiting_leaves_its_child_a_gate_that_closes(
    tmp_path: Path, generations: int
) -> None:
    source = f"""{PROGRAM}
    def stuck():
        inside.set()
        threading.Event().wait()

    def give_up(generations):
        if not generations:
            return check()
        inside.clear()
        Filter.calls[:] = [stuck]
        in_thread(log)
        assert inside.wait(20)
        in_child(lambda: give_up(generations - 1))

    def check():
        Filter.calls[:] = []
        # Opens what the child needs, which nobody can do while it forks.
        log()
        logged, threads = threading.Event(), []
        Filter.calls[:] = [logged.set]

        def log_meanwhile():
            threads.append(in_thread(log))
            assert not logged.wait(0.5), "a line was logged in the middle of a fork"

        during_fork.append(log_meanwhile)
        in_child(lambda: None)
        assert len(threads) == 1
        # It came as soon as the fork was over.
        assert logged.wait(20)

    inside = threading.Event()
    give_up({generations})
    os._exit(0)
    """
    run(tmp_path, source).quiet()


def test_a_fork_in_the_middle_of_a_line_leaves_its_child_in_the_middle_of_it(tmp_path: Path) -> None:
    source = f"""{PROGRAM}
    def fork_in_the_middle():
        Filter.calls[:] = []
        pid = os.fork()
        if pid:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            assert code == 0, code
            return
        in_the_child.append(True)
        during_fork.append(hooked.set)
        forks.append(in_thread(lambda: in_child(lambda: None)))
        if hooked.wait(0.1):
            os._exit(2)

    in_the_child, forks, hooked = [], [], threading.Event()
    Filter.calls[:] = [fork_in_the_middle]
    log()
    if in_the_child:
        # The line is logged, so that the other thread's fork goes on.
        forks[0].join()
        os._exit(0 if hooked.is_set() else 3)
    # Here too, the next line and the next fork find the way free.
    log()
    in_child(log)
    """
    run(tmp_path, source).quiet()
