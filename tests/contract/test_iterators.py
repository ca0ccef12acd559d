"""An iterator belongs to one call at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend
    from .place import Place


@pytest.mark.parametrize("page_size", [1, 7])
def test_threads_that_share_an_iterator_get_no_record_twice(db: DB, backend: Backend, page_size: int) -> None:
    expected = {f"{number:04}": "v" for number in range(300)}
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
                # Whoever asks without pause leaves no time to the one that fetches.
                time.sleep(0.0002)
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
    backend: Backend,
    place: Place,
    stall: Callable[[], AbstractContextManager[None]],
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    for number in range(5):
        place.put(str(number), "v")
    messages = open_db().iter_messages(backend=backend.name, page_size=2)
    outcomes: list[Any] = []

    def work() -> None:
        try:
            outcomes.append(next(messages))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    with stall():
        for thread in threads:
            thread.start()
        eventually(lambda: len(outcomes) == 2)
        # The third waits for the backend.
        for error in outcomes:
            assert type(error) is ValueError
            assert "in use" in str(error)
    for thread in threads:
        thread.join(30)
    assert sorted([outcomes[2], *messages]) == [(str(number), "v") for number in range(5)]


def test_an_iterator_that_failed_can_be_asked_again(
    open_db: Callable[..., DB], backend: Backend, outage: Callable[[], AbstractContextManager[None]]
) -> None:
    db = open_db()
    items = {str(number): "v" for number in range(5)}
    db.write_messages(items, backend=backend.name)
    messages = db.iter_messages(backend=backend.name, page_size=2)
    found = [next(messages), next(messages)]
    if backend.over_network:
        # A file can be read while another process writes.
        with outage(), pytest.raises(BackendError):
            next(messages)
    assert sorted([*found, *messages]) == sorted(items.items())


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
