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

from TetherDB import DB, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from .backends import Backend
    from .place import Place

    Eventually = Callable[[Callable[[], object]], None]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def workers(on: str) -> int:
    # The kernel keeps fifteen letters of a name.
    names: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return sum(name.startswith(f"tetherdb-{on}"[:15]) for name in names)


def test_the_end_of_a_with_block_delivers_what_is_queued(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    with open_db(queue_batch={"timeout": 60}) as db:
        for number in range(25):
            db.write_queue_message(f"{number:02}", "v", backend=backend.name)
    assert len(place.everything()) == 25


def test_stop_delivers_what_is_queued(open_db: Callable[..., DB], backend: Backend, place: Place) -> None:
    db = open_db(queue_batch={"timeout": 60})
    db.write_queue_message("k", "v", backend=backend.name)
    db.stop()
    assert place.everything() == {"k": "v"}


def test_stop_start_and_flush_give_none(open_db: Callable[..., DB]) -> None:
    # The stubs say so too; what counts is what callers get.
    results: list[object] = []
    db = open_db()
    for verb in ("start", "flush", "stop"):
        results.append(getattr(db, verb)())
    assert results == [None, None, None]


def test_enter_starts_the_worker_and_exit_stops_it(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    with db as entered:
        assert entered is db
        assert [record.getMessage() for record in caplog.records] == ["Background worker started."]
    assert [record.getMessage() for record in caplog.records] == [
        "Background worker started.",
        "Background worker stopped.",
        "Database resources released and closed.",
    ]


def test_start_and_stop_are_idempotent_and_callable_again(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()
    db.stop()
    db.stop()
    for number in range(3):
        db.start()
        db.start()
        db.write_queue_message("k", str(number), backend=backend.name)
        db.stop()
        db.stop()
        assert place.everything() == {"k": str(number)}


def test_a_with_block_can_be_entered_again(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    for number in range(3):
        with db:
            db.write_queue_message(str(number), "v", backend=backend.name)
    assert sorted(db.list_keys(backend=backend.name)["keys"]) == ["0", "1", "2"]


def test_stop_inside_a_with_block_does_no_harm(open_db: Callable[..., DB], backend: Backend) -> None:
    with open_db() as db:
        db.write_queue_message("1", "v", backend=backend.name)
        db.stop()
        db.write_queue_message("2", "v", backend=backend.name)
    assert sorted(db.list_keys(backend=backend.name)["keys"]) == ["1", "2"]


def test_every_verb_after_stop_opens_what_it_needs_again(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(), backend.name
    verbs: list[tuple[Callable[[], object], object]] = [
        (lambda: db.write_message("k", "v", backend=on), True),
        (lambda: db.read_message("k", backend=on), "v"),
        (lambda: db.update_message("k", "w", backend=on), True),
        (lambda: db.write_messages({"l": "v"}, backend=on), 1),
        (lambda: db.read_messages(["k", "l"], backend=on), {"k": "w", "l": "v"}),
        (lambda: sorted(db.list_keys(backend=on)["keys"]), ["k", "l"]),
        (lambda: sorted(db.list_messages(backend=on)["messages"]), ["v", "w"]),
        (lambda: dict(db.iter_messages(backend=on)), {"k": "w", "l": "v"}),
        (lambda: db.write_queue_message("m", "v", backend=on), True),
        (lambda: db.read_message("m", backend=on), "v"),
        (lambda: db.ping(on) >= 0, True),
        (lambda: db.flush(), None),
        (lambda: db.tether(backend=on)(lambda: {"key": "n", "value": "v"})(), True),
        (lambda: db.delete_messages(["l", "n"], backend=on), 2),
        (lambda: db.delete_message("k", backend=on), True),
        (lambda: db.failed_messages(), []),
        (lambda: db.retry_failed(), 0),
        (lambda: db.drop_failed(), 0),
        (lambda: db.stats()[on]["accepted"], 1),
    ]
    for verb, result in verbs:
        db.stop()
        assert verb() == result


def test_an_iterator_goes_on_after_stop(open_db: Callable[..., DB], backend: Backend) -> None:
    db = open_db()
    db.write_messages({str(number): "v" for number in range(6)}, backend=backend.name)
    messages = db.iter_messages(backend=backend.name, page_size=2)
    first = next(messages)
    db.stop()
    assert len({first, *messages}) == 6


@pytest.mark.usefixtures("the_real_one")
def test_stop_closes_everything(
    held: Callable[[], int], open_db: Callable[..., DB], backend: Backend, eventually: Eventually
) -> None:
    db, on = open_db(), backend.name
    for _ in range(3):
        db.write_queue_message("k", "v", backend=on)
        db.flush()
        db.read_message("k", backend=on)
        list(db.iter_messages(backend=on))
        db.write_messages({f"{number:03}": "v" for number in range(300)}, backend=on)
        assert held() > 0
        db.stop()
        # The other end may need a moment to notice.
        eventually(lambda: held() == 0)


@pytest.mark.usefixtures("the_real_one")
def test_stop_with_a_timeout_closes_everything_whatever_is_undelivered(
    outage: Callable[[], AbstractContextManager[None]],
    held: Callable[[], int],
    open_db: Callable[..., DB],
    backend: Backend,
    eventually: Eventually,
) -> None:
    db, on = open_db(), backend.name
    db.write_message("before", "v", backend=on)
    with outage():
        db.write_queue_message("k", "v", backend=on)
        with pytest.raises(DeliveryError) as caught:
            db.stop(timeout=0.05)
        assert [failed[0] for failed in caught.value.failed] == ["k"]
        eventually(lambda: held() == 0)
    assert db.read_message("before", backend=on) == "v"


def test_opening_holds_nothing(held: Callable[[], int], open_db: Callable[..., DB]) -> None:
    with open_db() as db:
        assert held() == 0
        db.flush()
        assert held() == 0


@linux_only
def test_stop_ends_the_worker(open_db: Callable[..., DB], backend: Backend, eventually: Eventually) -> None:
    before = workers(backend.name)
    db = open_db()
    db.write_queue_message("k", "v", backend=backend.name)
    db.flush()
    assert workers(backend.name) == before + 1
    db.stop()
    # The thread may need a moment to leave the list of the kernel.
    eventually(lambda: workers(backend.name) <= before)


@pytest.mark.usefixtures("the_real_one")
def test_a_handle_that_is_forgotten_closes_everything(
    held: Callable[[], int], path: Path, place: Place, backend: Backend, eventually: Eventually
) -> None:
    db = DB({"local": {"filepath": str(path)}, **place.config})
    db.write_queue_message("k", "v", backend=backend.name)
    db.flush()
    db.read_message("k", backend=backend.name)
    assert held() > 0
    del db
    gc.collect()
    eventually(lambda: held() == 0)
    assert place.everything() == {"k": "v"}


def test_a_handle_that_is_forgotten_delivers_what_is_queued_in_the_background(
    open_db: Callable[..., DB], path: Path, place: Place, backend: Backend, eventually: Eventually
) -> None:
    config = {"local": {"filepath": str(path)}, **place.config}
    db = DB({**config, "queue_batch": {"timeout": 3600, "size": 1000}})
    for number in range(50):
        db.write_queue_message(f"{number:02}", "v", backend=backend.name)
    del db
    gc.collect()
    reader = open_db()
    eventually(lambda: len(reader.list_keys(100, backend=backend.name)["keys"]) == 50)


def test_a_forgotten_handle_is_collected(path: Path, place: Place, backend: Backend) -> None:
    db = DB({"local": {"filepath": str(path)}, **place.config})
    db.write_queue_message("k", "v", backend=backend.name)
    db.stop()
    reference = weakref.ref(db)
    del db
    gc.collect()
    assert reference() is None


def test_two_handles_on_one_place_see_each_other(open_db: Callable[..., DB], backend: Backend) -> None:
    one, other, on = open_db(), open_db(), backend.name
    one.write_message("k", "from one", backend=on)
    assert other.read_message("k", backend=on) == "from one"
    other.write_message("k", "from the other", backend=on)
    assert one.read_message("k", backend=on) == "from the other"
    assert one.list_messages(backend=on)["messages"] == ["from the other"]
    one.stop()
    assert other.update_message("k", "again", backend=on) is True
    assert one.read_message("k", backend=on) == "again"
    assert other.delete_message("k", backend=on) is True
    assert one.read_messages(["k"], backend=on) == {}


def test_threads_may_stop_start_and_write_at_the_same_time(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db, on = open_db(), backend.name
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                db.write_queue_message(f"{number}-{turn:02}", "queued", backend=on)
                db.write_message(f"{number}-direct", str(turn), backend=on)
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
    found = place.everything()
    assert len(found) == 5 * 21
    assert {found[f"{number}-direct"] for number in range(5)} == {"19"}


def test_many_threads_share_one_handle(open_db: Callable[..., DB], backend: Backend, place: Place) -> None:
    db, on = open_db(), backend.name
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                key = f"{number} {turn}"
                assert db.write_message(key, "direct", "b", on) is True
                assert db.read_message(key, "b", on) == "direct"
                assert db.update_message(key, "updated", "b", on) is True
                assert db.read_messages([key, "missing"], "b", on) == {key: "updated"}
                assert db.write_messages({f"{key} bulk": "v"}, "b", on) == 1
                assert db.write_queue_message(key, "queued", "b", on) is True
                assert db.delete_message(f"{key} bulk", "b", on) is True
                db.list_keys(5, bucket="b", backend=on)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.stop()
    assert errors == []
    assert place.everything() == {f"b:{number} {turn}": "queued" for number in range(8) for turn in range(10)}


def test_a_handle_can_be_neither_pickled_nor_copied(open_db: Callable[..., DB]) -> None:
    db = open_db()
    with pytest.raises(TypeError, match="DB"):
        pickle.dumps(db)
    with pytest.raises(TypeError, match="DB"):
        copy.copy(db)


@pytest.mark.parametrize("verb", ["flush", "stop"])
@pytest.mark.parametrize("timeout", [0, 0.0, 5, 1e300, float("inf")], ids=repr)
def test_flush_and_stop_take_any_number_of_seconds(
    verb: str, timeout: float, open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db()
    db.write_message("k", "v", backend=backend.name)
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
