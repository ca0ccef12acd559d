"""A program that works until it is killed, and notes every call and every return.

Its one argument is JSON: `config` of the DB, `notes` (a file), `first` version, `seed`, `backend`, `threads`.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from chaos.logs import listen
from chaos.notes import NotedModel
from chaos.watch import keep_adding_up
from chaos.work import MIXED, QUEUE_ONLY, Worker
from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable

# Nobody has killed it: it ends by itself.
FORGOTTEN = 30.0
FAULT = 3


def or_end(work: Callable[[], object]) -> None:
    """A failure in any thread is the program's."""
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(FAULT)


def for_ever() -> bool:
    """Until it is killed."""
    return True


def main() -> None:
    """Works."""
    task = json.loads(sys.argv[1])
    chance = random.Random(task["seed"])
    model = NotedModel(task["notes"], task["first"])
    heard = listen()
    db = DB(task["config"])
    print("ready", flush=True)
    verbs: dict[str, float] = {**chance.choice([QUEUE_ONLY, QUEUE_ONLY, MIXED])}
    for verb, weight in (("flush", 1), ("stop", 0.3), ("poison", 1), ("retry", 0.5)):
        # etcd refuses nothing.
        if chance.random() < 0.5 and (verb != "poison" or task["backend"] == "local"):
            verbs[verb] = weight
    for at in range(task["threads"]):
        worker = Worker(
            db,
            model,
            f"k{at}",
            random.Random(f"{task['seed']}-{at}"),
            backend=task["backend"],
            verbs=verbs,
            sizes=chance.choice(["s", "sm", "ml"]),
            exact=True,
            pause=chance.choice([0.0, 0.0, 0.01]),
        )

        def work(worker: Worker = worker) -> None:
            worker.run(for_ever)

        threading.Thread(target=or_end, args=(work,), daemon=True).start()

    def nothing_is_wrong() -> bool:
        heard.check()
        return True

    def watch() -> None:
        keep_adding_up(db, nothing_is_wrong)

    threading.Thread(target=or_end, args=(watch,), daemon=True).start()
    time.sleep(FORGOTTEN)
    os._exit(FAULT)
