"""A program that leaves in the middle of work, in one of many ways, and notes every call and every return.

Its one argument is JSON: `config` of the DB, `notes` (a file), `seed`, `way`, `journal` of a forked child or
null. With a way that flushes, the mark "flushed" stands behind all that the flush had to deliver.
"""

from __future__ import annotations

import _thread
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from chaos.logs import listen
from chaos.notes import NotedModel
from chaos.watch import keep_adding_up
from chaos.work import MIXED, QUEUE_ONLY, Worker
from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

FAULT = 3
# Seconds. Less than those who wait for the program have patience.
HANGS = 30
EXIT_CODES = {"exit": 7, "with": 8, "exception": 1, "interrupt": -signal.SIGINT}
WAYS = ["exit", "return", "exception", "interrupt", "with", "stop", "os-exit", "exit-in-thread", "delete"]


class Program:
    """What it works with."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.chance = random.Random(task["seed"])
        self.heard = listen()
        self.model = NotedModel(task["notes"], 1)
        self.db = DB(task["config"])
        self.ended = threading.Event()

    def goes_on(self) -> bool:
        """Whether threads that are no daemons go on."""
        return not self.ended.is_set()

    def worker(self, name: str) -> Worker:
        """One on keys of its own."""
        verbs = self.chance.choice([QUEUE_ONLY, MIXED])
        # A handle that is being stopped may open and close its file at any moment, and lets producers go.
        timeout = 60.0 if self.task["way"] in ("stop", "with") else None
        return Worker(
            self.db,
            self.model,
            name,
            random.Random(f"{self.task['seed']}-{name}"),
            verbs=verbs,
            sizes=self.chance.choice(["s", "sm", "ml"]),
            timeout=timeout,
            exact=True,
        )

    def start(self, work: Callable[[], object]) -> None:
        """A thread. Python waits for those that are no daemons, so they are told when to end."""

        def run() -> None:
            try:
                work()
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(FAULT)

        threading.Thread(target=run, daemon=self.chance.random() < 0.7).start()

    def fork(self) -> None:
        """A child in the middle of it: with a queue of its own, and then it is gone."""
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert code == 0, f"the child ended with {code}"
            return
        code = 1
        # Who waits for it could not say where it stands.
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            code = self.live_as_child()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def live_as_child(self) -> int:
        """Works with the inherited handle where it may, and with a journal of its own where there is one."""
        name = f"child-{os.getpid()}"
        db = self.db
        assert db.write_message("child-direct", "text")
        if self.task["journal"] is not None:
            try:
                db.write_queue_message("child-queued", "text")
            except ConfigError:
                pass
            else:
                return 2
            queue = {**self.task["config"]["queue_batch"], "journal": f"{self.task['journal']}-{name}"}
            db = DB({**self.task["config"], "queue_batch": queue})
        worker = Worker(db, self.model, name, self.chance, exact=True)
        for _ in range(5):
            worker.burst()
            worker.once()
            worker.write()
        db.flush()
        return 0


def leave(program: Program, last: Worker) -> None:
    """The end, in one of the ways."""
    match program.task["way"]:
        case "exit":
            sys.exit(EXIT_CODES["exit"])
        case "exception":
            raise RuntimeError("of the program")
        case "interrupt":
            _thread.interrupt_main()
            time.sleep(60)
        case "with":
            with program.db:
                last.burst()
                sys.exit(EXIT_CODES["with"])
        case "stop":
            program.db.stop()
        case "os-exit":
            program.model.mark("flush")
            program.db.flush()
            program.model.mark("flushed")
            os._exit(0)
        case "exit-in-thread":

            def work_and_exit() -> None:
                last.burst()
                last.write()
                sys.exit(9)

            threading.Thread(target=work_and_exit).start()
        case "delete":
            # Those threads that there are have the handle still; when they end, nobody has.
            del program.db, last.db
        case _:
            pass


def main() -> None:
    """Works, and leaves."""
    program = Program(json.loads(sys.argv[1]))
    chance = program.chance
    last = program.worker("main")
    for at in range(chance.choice([0, 1, 3, 6])):
        worker = program.worker(f"t{at}")

        def work(worker: Worker = worker) -> None:
            worker.run(program.goes_on)

        program.start(work)
    if chance.random() < 0.5:

        def goes_on() -> bool:
            program.heard.check()
            return program.goes_on()

        db = program.db
        program.start(lambda: keep_adding_up(db, goes_on))
        del db
    print("ready", flush=True)
    deadline = time.monotonic() + chance.choice([0.0, 0.05, 0.2]) * chance.random()
    last.run(lambda: time.monotonic() < deadline)
    try:
        if chance.random() < 0.3:
            program.fork()
        leave(program, last)
    finally:
        program.ended.set()
