"""Any number of threads on one handle, any number of processes on one file."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from .scripts import Program, records, run

if TYPE_CHECKING:
    from pathlib import Path


def test_sixteen_threads_mix_every_verb_and_nothing_is_lost(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        THREADS, ROUNDS = 16, 60
        db = DB({"local": {"filepath": "store", "synchronous": "normal", "busy_timeout": 60},
                 "queue_batch": {"size": 7, "timeout": 0.01, "max_pending": 50}})
        failures, start = [], threading.Barrier(THREADS)

        def work(number):
            start.wait()
            for turn in range(ROUNDS):
                name = f"{number}-{turn}"
                assert db.write_message(f"direct-{name}", {"turn": turn}) is True
                assert db.write_queue_message(f"queued-{name}", {"turn": turn}, bucket="queue") is True
                assert db.read_message(f"direct-{name}") == {"turn": turn}
                if turn % 5 == 0:
                    assert db.write_messages({f"bulk-{name}-{i}": "text" for i in range(5)}) == 5
                    page = db.list_keys(page_size=20, bucket="queue")
                    assert len(page["keys"]) <= 20 and page["keys"] == sorted(page["keys"])
                    assert len(db.list_messages(page_size=3)["messages"]) == 3
                if turn % 7 == 0:
                    assert db.update_message(f"direct-{name}", {"turn": -turn}) is True
                    assert db.delete_message(f"queued-{name}", bucket="queue") is True
                if turn % 20 == 0:
                    db.flush()
                    db.stats()
                    assert sum(1 for _ in db.iter_messages(bucket="queue")) > 0 or turn == 0

        def guarded(number):
            try:
                work(number)
            except BaseException as error:
                failures.append((number, repr(error)))

        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert not failures, failures
        db.flush()
        account = db.stats()["local"]
        assert account["accepted"] == account["delivered"] == THREADS * ROUNDS, account
        db.stop()
    """
    run(tmp_path, source).quiet()
    expected: dict[str, str] = {}
    for number in range(16):
        for turn in range(60):
            name = f"{number}-{turn}"
            expected[f"direct-{name}"] = json.dumps({"turn": turn if turn % 7 else -turn})
            if turn % 7:
                expected[f"queue:queued-{name}"] = json.dumps({"turn": turn})
            if turn % 5 == 0:
                expected |= {f"bulk-{name}-{i}": "text" for i in range(5)}
    assert records(tmp_path / "store") == expected


def test_threads_on_the_same_keys_keep_the_order_of_each_thread(tmp_path: Path) -> None:
    # Each thread has one key and writes it directly and queued in turn: the last one must win.
    source = """
        from TetherDB import DB
        db = DB({"local": {"filepath": "store", "synchronous": "off", "busy_timeout": 60},
                 "queue_batch": {"size": 5, "timeout": 0.5}})

        def work(number):
            for turn in range(100):
                verb = (db.write_message, db.write_queue_message)[(turn * 7 + number) % 3 == 0]
                verb(f"key-{number}", {"turn": turn})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        db.stop()
    """
    run(tmp_path, source).quiet()
    assert records(tmp_path / "store") == {f"key-{number}": '{"turn": 99}' for number in range(12)}


def test_threads_start_stop_and_flush_at_once(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB, QueueFull
        db = DB({"local": {"filepath": "store", "synchronous": "off"},
                 "queue_batch": {"size": 3, "timeout": 0.01, "max_pending": 20}})
        written, failures = [], []

        def write(number):
            for turn in range(200):
                try:
                    db.write_queue_message(f"{number}-{turn}", "text")
                    written.append(f"{number}-{turn}")
                except QueueFull:  # stopped while it waited for room
                    pass

        def control(verb):
            for _ in range(50):
                verb()

        def guarded(work, argument):
            try:
                work(argument)
            except BaseException as error:
                failures.append(repr(error))

        jobs = [(write, number) for number in range(4)]
        jobs += [(control, verb) for verb in (db.start, db.stop, db.flush, db.stop)]
        threads = [threading.Thread(target=guarded, args=job) for job in jobs]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        db.stop()
        assert not failures, failures
        assert db.stats()["local"]["accepted"] == len(written)
        print(json.dumps(written))
    """
    said = run(tmp_path, source).quiet()
    written: list[str] = json.loads(said)
    assert records(tmp_path / "store") == dict.fromkeys(written, "text")


@pytest.mark.parametrize("processes", [2, 6])
def test_processes_write_one_new_file_at_once(tmp_path: Path, processes: int) -> None:
    source = """
        from TetherDB import DB
        name = sys.argv[1]
        db = DB({"local": {"filepath": "store", "synchronous": "normal", "busy_timeout": 60},
                 "queue_batch": {"size": 20, "timeout": 0.01}})
        print("ready", flush=True)
        sys.stdin.readline()
        for turn in range(150):
            db.write_message(f"{name}-direct-{turn}", {"turn": turn})
            db.write_queue_message(f"{name}-queued-{turn}", {"turn": turn})
            db.write_message("shared", name)
            assert db.read_message(f"{name}-direct-{turn}") == {"turn": turn}
            assert db.read_message("shared") is not None
        db.flush()
        for turn in range(150):
            assert db.read_message(f"{name}-queued-{turn}") == {"turn": turn}
    """
    with ExitStack() as stack:
        programs = [stack.enter_context(Program(tmp_path, source, str(n))) for n in range(processes)]
        for program in programs:
            program.expect("ready")
        for program in programs:
            program.tell()
        for program in programs:
            program.finish().quiet()
    found = records(tmp_path / "store")
    assert found.pop("shared") in {str(number) for number in range(processes)}
    assert found == {
        f"{number}-{kind}-{turn}": json.dumps({"turn": turn})
        for number in range(processes)
        for kind in ("direct", "queued")
        for turn in range(150)
    }
    # Whoever closed last carried the log into the file.
    assert [entry.name for entry in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("leave", ["db.stop()", "with db: pass", "db.flush()"])
def test_nobody_who_writes_without_pause_keeps_the_others_waiting(tmp_path: Path, leave: str) -> None:
    source = """
        from TetherDB import DB, QueueFull
        queue = {"size": 1, "timeout": 0, "max_pending": 5000}
        db = DB({"local": {"filepath": "store"}, "queue_batch": queue})
        done, failures, counts = threading.Event(), [], dict.fromkeys(("queue", "write", "bulk", "flush"), 0)

        def loop(name, verb):
            try:
                while not done.is_set():
                    try:
                        verb(counts[name])
                    except QueueFull:  # stopped while it waited for room
                        pass
                    counts[name] += 1
            except BaseException as error:
                failures.append(repr(error))

        verbs = {
            "queue": lambda turn: db.write_queue_message(f"queued-{turn % 1000}", {"turn": turn}),
            "write": lambda turn: db.write_message(f"direct-{turn % 1000}", {"turn": turn}),
            "bulk": lambda turn: db.write_messages({f"bulk-{i}": {"turn": turn} for i in range(10)}),
            "flush": lambda turn: db.flush(),
        }
        jobs = [*verbs.items(), ("flush", verbs["flush"])]
        threads = [threading.Thread(target=loop, args=job) for job in jobs]
        [thread.start() for thread in threads]
        time.sleep(0.3)
        for _ in range(3):
            exec(sys.argv[1])
            before = dict(counts), db.stats()["local"]["delivered"]
            deadline = time.monotonic() + 30
            # Everybody gets on, the queue's worker as well.
            while any(counts[name] < before[0][name] + 3 for name in counts) or (
                db.stats()["local"]["delivered"] < before[1] + 100
            ):
                assert time.monotonic() < deadline, (before, counts, db.stats())
                time.sleep(0.01)
        done.set()
        [thread.join() for thread in threads]
        assert not failures, failures
        db.stop()
    """
    run(tmp_path, source, leave).quiet()


def test_threads_that_read_a_file_while_others_create_it(tmp_path: Path) -> None:
    source = """
        from TetherDB import DB
        failures = []
        for number in range(40):
            handles = [DB({"local": {"filepath": f"store-{number}", "synchronous": "off"}}) for _ in range(2)]
            start = threading.Barrier(8)

            def work(thread):
                db = handles[thread % 2]
                start.wait()
                try:
                    if thread < 3:
                        db.write_message(f"{thread}", "text")
                    elif thread < 5:
                        for _ in range(20):
                            assert set(dict(db.iter_messages())) <= {"0", "1", "2"}
                    else:
                        for _ in range(50):
                            assert db.read_message("0") in (None, "text")
                except BaseException as error:
                    failures.append(repr(error))

            threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert not failures, (number, failures)
            assert len(handles[0].list_keys()["keys"]) == 3
    """
    run(tmp_path, source).quiet()
