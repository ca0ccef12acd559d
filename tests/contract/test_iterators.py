"""An iterator belongs to one call at a time."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend

# To the letter what dbm.sqlite3 of CPython 3.13 creates.
DBM_TABLE = "CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)"


@pytest.mark.parametrize("page_size", [1, 7])
def test_threads_that_share_an_iterator_get_no_record_twice(db: DB, backend: Backend, page_size: int) -> None:
    expected = {f"{number:04}": "v" for number in range(1000)}
    db.write_messages(expected, "", backend.name)
    messages = db.iter_messages("", backend.name, page_size)
    found: list[str] = []
    failures: list[BaseException] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        while True:
            try:
                key, _ = next(messages)
            except StopIteration:
                return
            except ValueError as error:
                if "in use" not in str(error):
                    failures.append(error)
                    return
            except BaseException as error:
                failures.append(error)
                return
            else:
                found.append(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    # Whoever was turned away tried again, so that nothing is missing either.
    assert Counter(found) == Counter(expected.keys())


def test_a_second_call_is_refused_while_one_fetches_and_the_iterator_goes_on(
    open_db: Callable[..., DB],
    sql: Callable[..., list[tuple[Any, ...]]],
    locked: Callable[[], AbstractContextManager[None]],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    # Without a write-ahead log a writer locks readers out.
    rows = ", ".join(f"(x'{number + 0x30:02x}', x'76')" for number in range(5))
    sql("PRAGMA journal_mode = delete", DBM_TABLE, f"INSERT INTO Dict VALUES {rows}")
    messages = open_db(local={"busy_timeout": 60}).iter_messages(page_size=2)
    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(next(messages))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    with locked():
        for thread in threads:
            thread.start()
        eventually(lambda: len(outcomes) == 2)
        # The third waits for the lock.
        for error in outcomes:
            assert type(error) is ValueError
            assert "in use" in str(error)
    for thread in threads:
        thread.join(30)
    assert outcomes[2:] == [("0", "v")]
    assert [key for key, _ in messages] == ["1", "2", "3", "4"]


def test_each_thread_with_an_iterator_of_its_own_gets_everything(db: DB, backend: Backend) -> None:
    db.write_messages({f"{number:04}": "v" for number in range(500)}, "", backend.name)
    counts: list[int] = []

    def work() -> None:
        counts.append(len(dict(db.iter_messages("", backend.name, 10))))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts == [500] * 4
