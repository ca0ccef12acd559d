"""What a newcomer gets wrong in the first hour: the error says what to write instead, nothing is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .backends import Backend


@pytest.mark.parametrize(
    "pair",
    [{"key": "a", "value": "b"}, {"a", "b"}, frozenset({"a", "b"})],
    ids=["dict", "set", "frozenset"],
)
def test_a_pair_has_an_order(db: DB, backend: Backend, pair: Any) -> None:
    with pytest.raises(TypeError, match=r"^items\[0\] must be a \(key, value\) pair, got") as caught:
        db.write_messages([pair, ("c", "d")], backend=backend.name)
    assert type(pair).__name__ in str(caught.value)
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_wrong_pair_after_right_ones_writes_nothing(db: DB, backend: Backend) -> None:
    items: Any = [("a", "b"), {"key": "c", "value": "d"}]
    with pytest.raises(TypeError, match=r"^items\[1\]"):
        db.write_messages(items, backend=backend.name)
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_timeout_is_a_number(db: DB, backend: Backend) -> None:
    text: Any = "3"
    receipt = db.write_queue_message("a", "b", backend=backend.name, receipt=True)
    for wait in (db.flush, db.stop, receipt.wait):
        with pytest.raises(TypeError, match=r"^timeout must be"):
            wait(text)
    assert receipt.wait(timeout=30)


def with_receipt(db: Any, word: Any, on: str) -> object:
    return db.write_queue_message("a", "b", backend=on, receipt=word)


FLAGS: dict[str, Callable[[DB, Any, str], object]] = {
    "write_message queue": lambda db, word, on: db.write_message("a", "b", backend=on, queue=word),
    "write_queue_message receipt": with_receipt,
    "tether wait": lambda db, word, on: db.tether(wait=word, backend=on),
    "tether queue": lambda db, word, on: db.tether(queue=word, backend=on),
}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_flag_is_a_bool(db: DB, backend: Backend, flag: str, word: str) -> None:
    with pytest.raises(TypeError, match=rf"^{flag.split()[1]} must be a bool, got str"):
        FLAGS[flag](db, word, backend.name)
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_missing_configuration_says_where_the_file_of_records_goes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(str(tmp_path / "missing.json"))
    for word in ("missing.json", "local", "filepath"):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("open_now", [False, True], ids=["closed", "open"])
def test_a_file_of_records_is_no_configuration(path: Path, open_now: bool) -> None:
    with DB({"local": {"filepath": str(path)}}) as db:
        db.write_message("a", "b")
        if not open_now:
            db.stop()
        with pytest.raises(ConfigError, match="is a file of records") as caught:
            DB(str(path))
        assert "filepath" in str(caught.value)
        assert db.read_message("a") == "b"


@pytest.mark.parametrize(
    ("config", "suggested"),
    [({"filepath": "x"}, "local.filepath"), ({"queue": {}}, "queue_batch")],
    ids=["filepath", "queue"],
)
def test_a_near_miss_is_suggested(config: dict[str, Any], suggested: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(config)
    assert f"Did you mean '{suggested}'?" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"queue_batch.batch_size": 5}, 'write {"queue_batch": {"size": ...}}.'),
        ({"queue_batch": {"batch_size": 5}}, "Did you mean 'queue_batch.size'?"),
        ({"LOCAL": {"filepath": "x"}}, "Did you mean 'local'?"),
        ({"local": {"mode": 0o600}}, '0o600 is written "0600".'),
        ({"logging": "INFO"}, 'Did you mean "info"?'),
        ({"give_up_after": 5}, "It belongs in queue_batch.retry: "),
        ({"queue_batch": {"give_up_after": 5}}, "It belongs in queue_batch.retry: "),
        ({"table": "x"}, "Did you mean 'dynamodb.table_name'? It belongs in dynamodb: "),
        ({"bucket": "x"}, "It is an argument of the verbs"),
        ({"local": "x"}, 'Write {"local": {"filepath": ...}}.'),
    ],
    ids=str,
)
def test_what_was_meant_is_said(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(config)
    assert said in str(caught.value)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"local": {"filepath": "marked"}}', encoding="utf-8-sig")
    assert config.read_bytes().startswith(b"\xef\xbb\xbf")
    assert "'marked'" in repr(DB(config))


def test_config_file_takes_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mapping: Any = {"a": 1}
    with pytest.raises(TypeError, match=r"^config_file must be a path .*got dict"):
        DB(config_file=mapping)
