"""Many threads on one queue: nothing is lost, and the order of each thread's messages of a key is kept."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import Backend
    from .place import Place

    History = Callable[[str], list[str | None]]

THREADS = 8
TURNS = 60


def together(work: Callable[[int], object], count: int = THREADS) -> None:
    """Runs `work` in threads that begin at the same moment; raises what one of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(timeout=60)
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize(
    "queue_batch",
    [{}, {"size": 1}, {"size": 1000}, {"max_pending": 10}, {"max_pending_bytes": 500}, {"timeout": 0}],
    ids=repr,
)
def test_nothing_that_many_threads_queue_is_lost(
    queue_batch: dict[str, Any], open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db(queue_batch=queue_batch)

    def work(number: int) -> None:
        for turn in range(TURNS):
            key, value = f"{number} {turn}", f"{number * turn}"
            assert db.write_queue_message(key, value, backend=backend.name) is True

    together(work)
    db.stop()
    assert place.everything() == {
        f"{number} {turn}": f"{number * turn}" for number in range(THREADS) for turn in range(TURNS)
    }
    assert db.stats()[backend.name]["delivered"] == THREADS * TURNS


@pytest.mark.parametrize("queue_batch", [{}, {"size": 3}, {"max_pending": 5}], ids=repr)
def test_the_order_of_each_threads_messages_of_a_key_is_kept(
    queue_batch: dict[str, Any], history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch=queue_batch)

    def work(number: int) -> None:
        for turn in range(TURNS):
            db.write_queue_message(f"key {turn % 3}", f"{number} {turn}", backend=backend.name)

    together(work)
    db.stop()
    for key in range(3):
        texts = [text.split() for text in history(f"key {key}") if text is not None]
        assert len(texts) == sum(turn % 3 == key for turn in range(TURNS)) * THREADS
        for number in range(THREADS):
            turns = [int(turn) for writer, turn in texts if int(writer) == number]
            assert turns == [turn for turn in range(TURNS) if turn % 3 == key]


def test_what_one_thread_wrote_before_another_began_comes_first(
    history: History, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"size": 3})
    for number in range(50):
        thread = threading.Thread(target=db.write_queue_message, args=("k", str(number), "", backend.name))
        thread.start()
        thread.join()
    db.stop()
    assert history("k") == [str(number) for number in range(50)]


def test_producers_flushers_and_readers_share_one_handle(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"max_pending": 100}), backend.name

    def work(number: int) -> None:
        for turn in range(40):
            kind, key = (number + turn) % 4, f"{number} {turn}"
            if kind == 0:
                db.flush()
            elif kind == 1:
                db.list_keys(50, backend=on)
                db.stats()
            elif kind == 2:
                assert db.write_queue_message(key, "v", backend=on, receipt=True).wait() is True
                assert db.read_message(key, backend=on) == "v"
            else:
                db.write_queue_message(key, "v", backend=on)

    together(work)
    db.stop()
    assert len(db.list_keys(10_000, backend=on)["keys"]) == THREADS * 20


def test_the_first_messages_of_many_threads_start_one_worker(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    on = backend.name
    for _ in range(10):
        db = open_db(queue_batch={"size": 1})
        together(lambda number, db=db: db.write_queue_message(str(number), "v", backend=on))  # type: ignore[misc]
        db.stop()
        assert db.stats()[on]["delivered"] == THREADS
