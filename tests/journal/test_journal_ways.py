"""Every way into the queue leads through the journal, and receipts tell as without one."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, DeliveryError

from .support import EMPTY, HOUR, PATIENCE, adds_up, every_sync, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path


def test_all_ways_survive_a_kill(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    body = """
        db = open_db()

        @db.tether(wait=False, bucket="events")
        def with_key(number):
            return {"key": f"tether {number}", "value": {"number": number}}

        @db.tether(queue=True, key="fixed")
        def with_fixed_key():
            return {"any": "dict"}

        @db.tether(wait=False)
        async def asynchronous():
            return {"key": "async", "value": "v"}

        import asyncio
        assert with_key(1) is True and with_key(2) is True
        assert with_fixed_key() is True
        assert asyncio.run(asynchronous()) is True
        assert db.write_message("by flag", "é", "bucket", queue=True) is True
        receipt = db.write_queue_message("with receipt", "v", receipt=True)
        assert receipt.done() is False and receipt.wait(timeout=0.01) is False
        assert db.write_queue_message("k", {"a": [1, "é", None]}) is True
        assert db.stats()["local"]["pending"] == 7
    """
    assert run_killed(tmp_path, body).err == ""
    db = open_journal()
    db.flush()
    assert dict(db.iter_messages()) == {
        "events:tether 1": {"number": 1},
        "events:tether 2": {"number": 2},
        "fixed": {"any": "dict"},
        "async": "v",
        "bucket:by flag": "é",
        "with receipt": "v",
        "k": {"a": [1, "é", None]},
    }


@every_sync
def test_receipts_tell_what_is_delivered(open_journal: Callable[..., DB], sync: str) -> None:
    db = open_journal(queue_batch={"timeout": HOUR, "journal_sync": sync})
    receipt = db.write_queue_message("k", "v", receipt=True)
    assert receipt.done() is False
    assert receipt.wait(timeout=0.02) is False
    db.flush()
    assert receipt.done() is True
    assert receipt.wait() is True
    assert receipt.exception() is None

    async def wait() -> bool:
        later = db.write_queue_message("k", "later", receipt=True)
        asyncio.get_running_loop().call_later(0.05, db.start)
        asyncio.get_running_loop().run_in_executor(None, db.flush)
        return bool(await later)

    assert asyncio.run(wait()) is True
    assert db.read_message("k") == "later"


@pytest.mark.usefixtures("refuse_bad")
def test_a_receipt_and_on_error_tell_what_is_given_up(
    open_journal: Callable[..., DB], eventually: Callable[[Callable[[], object]], None]
) -> None:
    calls: list[object] = []

    def note(key: str, value: object, backend: str, _: Exception) -> None:
        calls.append((key, value, backend))

    db = open_journal(on_error=note, logging="none")
    receipt = db.write_queue_message("k", "bad", "bucket", receipt=True)
    with pytest.raises(Exception, match="refused by the trigger"):
        receipt.wait(timeout=PATIENCE)
    with pytest.raises(DeliveryError) as caught:
        db.flush()
    assert [message[:3] for message in caught.value.failed] == [("bucket:k", "bad", "local")]
    db.stop()
    eventually(lambda: calls)
    assert calls == [("bucket:k", "bad", "local")]
    adds_up(db)
    # Reported once, also where the journal is opened again.
    db.flush()
    assert len(db.failed_messages()) == 1
    assert db.stats()["local"]["failed"] == 1
    adds_up(db)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k" * 5000, ""),
        ("é ☃ \0 \n", "é ☃ \0 \n"),
        ("json", '{"looks": "like json"}'),
        ("digits", "123"),
        ("large", "x" * 5_000_000),
        ("nested", {"a": {"b": [1, 2.5, None, True, "é"]}}),
        ("TetherDB journal", "TetherDB journal\1\0\0\0"),
    ],
    ids=["long-key", "unicode", "json-text", "digits", "large", "dict", "magic"],
)
def test_keys_and_values_come_back_as_they_were(
    tmp_path: Path, open_journal: Callable[..., DB], key: str, value: str | dict[str, Any]
) -> None:
    body = """
        db = open_db()
        key, value = eval(open("message").read())
        db.write_queue_message(key, value)
        db.write_queue_message(key, value)
        db.write_queue_message("last", "v")
    """
    (tmp_path / "message").write_text(repr((key, value)))
    assert run_killed(tmp_path, body).err == ""
    db = open_journal()
    db.flush()
    expected = {"looks": "like json"} if key == "json" else value
    assert db.read_messages([key, "last"]) == {key: expected, "last": "v"}


def test_a_folder_that_changes_does_not_move_it(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    (tmp_path / "elsewhere").mkdir()
    body = """
        db = open_db()
        db.write_queue_message("k", "1")
        os.chdir("elsewhere")
        db.write_queue_message("k", "2")
        db.stop()
        db.write_queue_message("k", "3")
    """
    assert run_killed(tmp_path, body).err == ""
    assert list((tmp_path / "elsewhere").iterdir()) == []
    db = open_journal()
    db.flush()
    assert db.read_message("k") == "3"


def test_a_configuration_file_may_name_it(
    tmp_path: Path, path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERE_THE_JOURNAL_IS", f"{journal}")
    queue = {"journal": "${WHERE_THE_JOURNAL_IS}", "journal_sync": "interval"}
    (tmp_path / "config.json").write_text(
        json.dumps({"local": {"filepath": f"{path}"}, "queue_batch": queue})
    )
    with DB(tmp_path / "config.json") as db:
        db.write_queue_message("k", "v")
        assert journal.stat().st_size > EMPTY
    assert journal.stat().st_size == EMPTY


def test_a_retry_waits_for_a_busy_file(
    open_journal: Callable[..., DB], locked: Callable[[], AbstractContextManager[None]]
) -> None:
    # What fails in passing stays queued, and in the journal.
    db = open_journal(local={"busy_timeout": 0}, queue_batch={"retry": {"initial": 0.01, "max": 0.02}})
    db.write_message("k", "before")
    with locked():
        receipt = db.write_queue_message("k", "v", receipt=True)
        assert receipt.wait(timeout=0.2) is False
        assert db.stats()["local"]["retried"] > 0
    assert receipt.wait(timeout=PATIENCE) is True
    adds_up(db)
