"""DynamoDB Local itself, paused, killed and started again."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from servers import dynamodb_jars
from servers.dynamodb import DynamoDbLocal
from TetherDB import OperationTimeout, TetherDBError, Unavailable

from .support import NAME, VERBS, every_verb, failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from TetherDB import DB

pytestmark = pytest.mark.skipif(bool(dynamodb_jars.why_not()), reason="DynamoDB Local cannot run here")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDbLocal]:
    """One of this module's own, whose tables outlive a restart."""
    with DynamoDbLocal(tmp_path_factory.mktemp("dynamodb-local"), on_disk=True) as started:
        yield started


@pytest.fixture
def table(server: DynamoDbLocal) -> str:
    return server.create_table()


def warm(server: DynamoDbLocal, db: DB) -> None:
    """A Java program is slow at first: longer than the timeouts of these tests."""
    deadline = time.monotonic() + 60
    for verb in VERBS.values():
        while True:
            try:
                verb(db)
                break
            except (OperationTimeout, Unavailable):
                assert time.monotonic() < deadline


@every_verb
def test_a_paused_server(
    server: DynamoDbLocal, table: str, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(server.url, table_name=table)
    warm(server, db)
    server.pause()
    try:
        # The signal is only sent by then: a thread of it may still answer.
        os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
        error = failure(verb, db, OperationTimeout, names=server.url)
    finally:
        server.resume()
    assert "no answer" in str(error)
    warm(server, db)


def test_a_server_that_was_killed_and_comes_back(
    server: DynamoDbLocal, table: str, connect: Callable[..., DB]
) -> None:
    db = connect(server.url, table_name=table, timeout=30)
    assert db.write_message("before", "value", backend=NAME)
    server.kill()
    impatient = connect(server.url, table_name=table)
    for handle in (db, impatient):
        for verb in VERBS.values():
            failure(verb, handle, Unavailable, names=server.url)
    server.restart()
    assert db.read_message("before", backend=NAME) == "value"
    assert db.delete_message("before", backend=NAME) is True
    assert impatient.write_message("after", "value", backend=NAME)


def test_a_server_that_is_restarted_during_writes(
    server: DynamoDbLocal, table: str, connect: Callable[..., DB]
) -> None:
    db = connect(server.url, table_name=table, timeout=5, queue_batch={"retry": {"max": 0.5}})
    acknowledged: list[str] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def write(name: str) -> None:
        number = 0
        while not done.is_set():
            key = f"{name}-{number}"
            number += 1
            try:
                db.write_message(key, key, backend=NAME)
                acknowledged.append(key)
            except BaseException as error:
                errors.append(error)
                time.sleep(0.01)

    threads = [threading.Thread(target=write, args=(f"thread{at}",)) for at in range(3)]
    for thread in threads:
        thread.start()
    for number in range(500):
        db.write_queue_message(f"queued-{number}", "value", backend=NAME)
    try:
        for _ in range(2):
            so_far = len(acknowledged)
            deadline = time.monotonic() + 30
            while len(acknowledged) < so_far + 50:
                assert time.monotonic() < deadline, errors[-1:]
                time.sleep(0.01)
            server.kill()
            time.sleep(0.2)
            server.restart()
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
    assert {type(error) for error in errors} <= {Unavailable, OperationTimeout}
    assert all(isinstance(error, TetherDBError) and server.url in str(error) for error in errors)
    db.flush(timeout=60)
    stored = server.everything(table)
    assert [key for key in acknowledged if stored.get(key) != key] == []
    assert sum(key.startswith("queued-") for key in stored) == 500
    assert db.stats()[NAME]["failed"] == 0
