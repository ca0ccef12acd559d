"""Life of a handle: start, stop, `with`, and being forgotten."""

from __future__ import annotations

import contextlib
import copy
import gc
import pickle
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Eventually = Callable[[Callable[[], object]], None]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def open_files(path: Path) -> list[str]:
    found: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [name for name in found if name.startswith(str(path))]


def workers() -> list[str]:
    names: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return [name for name in names if name.startswith("tetherdb-local")]


def test_the_end_of_a_with_block_delivers_what_is_queued(
    open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    with open_db(queue_batch={"timeout": 60}) as db:
        for number in range(25):
            db.write_queue_message(f"{number:02}", "v")
    assert len(stored()) == 25


def test_stop_delivers_what_is_queued(
    open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    db = open_db(queue_batch={"timeout": 60})
    db.write_queue_message("k", "v")
    db.stop()
    assert stored() == {b"k": b"v"}


def test_stop_start_and_flush_give_none(open_db: Callable[..., DB]) -> None:
    # The stubs say so too; what counts is what callers get.
    results: list[object] = []
    db = open_db()
    for verb in ("start", "flush", "stop"):
        results.append(getattr(db, verb)())
    assert results == [None, None, None]


def test_start_and_stop_are_idempotent_and_callable_again(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.stop()
    db.stop()
    for _ in range(3):
        db.start()
        db.start()
        db.write_queue_message("k", "v")
        db.stop()
        db.stop()
    assert db.read_message("k") == "v"


def test_a_with_block_can_be_entered_again(open_db: Callable[..., DB]) -> None:
    db = open_db()
    for number in range(3):
        with db:
            db.write_queue_message(str(number), "v")
    assert db.list_keys()["keys"] == ["0", "1", "2"]


def test_stop_inside_a_with_block_does_no_harm(open_db: Callable[..., DB]) -> None:
    with open_db() as db:
        db.write_queue_message("1", "v")
        db.stop()
        db.write_queue_message("2", "v")
    assert db.list_keys()["keys"] == ["1", "2"]


def test_every_verb_after_stop_opens_what_it_needs_again(open_db: Callable[..., DB]) -> None:
    db = open_db()
    verbs: list[tuple[Callable[[], object], object]] = [
        (lambda: db.write_message("k", "v"), True),
        (lambda: db.read_message("k"), "v"),
        (lambda: db.update_message("k", "w"), True),
        (lambda: db.write_messages({"l": "v"}), 1),
        (lambda: db.read_messages(["k", "l"]), {"k": "w", "l": "v"}),
        (lambda: db.list_keys()["keys"], ["k", "l"]),
        (lambda: db.list_messages()["messages"], ["w", "v"]),
        (lambda: list(db.iter_messages()), [("k", "w"), ("l", "v")]),
        (lambda: db.write_queue_message("m", "v"), True),
        (lambda: db.read_message("m"), "v"),
        (lambda: db.ping() >= 0, True),
        (lambda: db.flush(), None),
        (lambda: db.delete_messages(["l"]), 1),
        (lambda: db.delete_message("k"), True),
        (lambda: db.failed_messages(), []),
        (lambda: db.retry_failed(), 0),
        (lambda: db.drop_failed(), 0),
        (lambda: db.stats()["local"]["accepted"], 1),
    ]
    for verb, result in verbs:
        db.stop()
        assert verb() == result


def test_an_iterator_goes_on_after_stop(open_db: Callable[..., DB]) -> None:
    db = open_db()
    db.write_messages({str(number): "v" for number in range(6)})
    messages = db.iter_messages(page_size=2)
    assert next(messages) == ("0", "v")
    db.stop()
    assert len(list(messages)) == 5


@linux_only
def test_stop_closes_every_file_and_ends_the_worker(
    open_db: Callable[..., DB], path: Path, eventually: Eventually
) -> None:
    before = len(workers())
    db = open_db()
    db.write_queue_message("k", "v")
    db.flush()
    db.read_message("k")
    assert open_files(path)
    assert len(workers()) == before + 1
    db.stop()
    assert open_files(path) == []
    # The thread may need a moment to leave the list of the kernel.
    eventually(lambda: len(workers()) <= before)


@linux_only
def test_a_handle_that_is_forgotten_closes_every_file(
    open_db: Callable[..., DB], path: Path, eventually: Eventually
) -> None:
    db = DB({"local": {"filepath": str(path)}})
    db.write_queue_message("k", "v")
    db.flush()
    db.read_message("k")
    del db
    gc.collect()
    eventually(lambda: open_files(path) == [])
    assert open_db().read_message("k") == "v"


def test_a_handle_that_is_forgotten_delivers_what_is_queued_in_the_background(
    open_db: Callable[..., DB], path: Path, eventually: Eventually
) -> None:
    db = DB({"local": {"filepath": str(path)}, "queue_batch": {"timeout": 3600, "size": 1000}})
    for number in range(50):
        db.write_queue_message(f"{number:02}", "v")
    del db
    gc.collect()
    reader = open_db()
    eventually(lambda: len(reader.list_keys(100)["keys"]) == 50)


def test_a_forgotten_handle_is_collected(path: Path) -> None:
    db = DB({"local": {"filepath": str(path)}})
    db.write_queue_message("k", "v")
    db.stop()
    reference = weakref.ref(db)
    del db
    gc.collect()
    assert reference() is None


def test_a_handle_forgotten_at_exit_delivers_without_a_word(
    run_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    program = """
from TetherDB import DB
db = DB({"queue_batch": {"timeout": 3600}})
db.write_queue_message("k", "v")
"""
    done = run_python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert DB({"local": {"filepath": str(tmp_path / "localdb")}}).read_message("k") == "v"


def test_two_handles_on_one_file_see_each_other(open_db: Callable[..., DB]) -> None:
    one, other = open_db(), open_db()
    one.write_message("k", "from one")
    assert other.read_message("k") == "from one"
    other.write_message("k", "from the other")
    assert one.read_message("k") == "from the other"
    one.stop()
    assert other.update_message("k", "again") is True
    assert one.read_message("k") == "again"


def test_threads_may_stop_start_and_write_at_the_same_time(
    open_db: Callable[..., DB], stored: Callable[[], dict[bytes, bytes]]
) -> None:
    db = open_db()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                db.write_queue_message(f"{number}-{turn:02}", "queued")
                db.write_message(f"{number}-direct", str(turn))
                if turn % 5 == number:
                    db.stop()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.stop()
    assert errors == []
    assert len(stored()) == 5 * 21


def test_a_handle_can_be_neither_pickled_nor_copied(open_db: Callable[..., DB]) -> None:
    db = open_db()
    with pytest.raises(TypeError, match="DB"):
        pickle.dumps(db)
    with pytest.raises(TypeError, match="DB"):
        copy.copy(db)


@pytest.mark.parametrize("verb", ["flush", "stop"])
@pytest.mark.parametrize("timeout", [0, 0.0, 5, 1e300, float("inf")], ids=repr)
def test_flush_and_stop_take_any_number_of_seconds(
    verb: str, timeout: float, open_db: Callable[..., DB]
) -> None:
    db = open_db()
    db.write_message("k", "v")
    getattr(db, verb)(timeout)
    getattr(db, verb)(timeout=timeout)


@pytest.mark.parametrize("verb", ["flush", "stop"])
@pytest.mark.parametrize("timeout", [-1, -0.1, float("nan"), float("-inf")], ids=repr)
def test_a_timeout_that_is_no_time_is_a_value_error(
    verb: str, timeout: float, open_db: Callable[..., DB]
) -> None:
    with pytest.raises(ValueError, match="timeout"):
        getattr(open_db(), verb)(timeout)


@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_a_timeout_of_another_type_is_a_type_error(verb: str, open_db: Callable[..., DB]) -> None:
    with pytest.raises(TypeError):
        getattr(open_db(), verb)("5")
