"""The file is one that dbm.sqlite3 reads and writes while we have it open, and the other way round."""

from __future__ import annotations

import dbm
import json
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .peer import Peer

TEXTS = {
    "plain": "text",
    "empty": "",
    "unicode-ключ-🗝": "значение 🎁",
    "nul-\x00-inside": "a\x00b",
    "new\nline": "one\r\ntwo\n",
    "number": "123",
    "quotes'\"`": "'; DROP TABLE Dict; --",
    "long": "x" * 1_000_000,
    "k" * 5000: "long key",
    "a:b:c": "in buckets",
}


def test_it_reads_what_we_write(open_db: Callable[..., DB], open_peer: Callable[..., Peer]) -> None:
    db = open_db()
    for key, value in TEXTS.items():
        db.write_message(key, value)
    peer = open_peer()
    assert peer.records() == TEXTS
    db.write_message("later", {"name": "Łukasz", "list": [1, 2.5, None]}, bucket="bucket")
    assert peer.get("bucket:later") == json.dumps({"name": "Łukasz", "list": [1, 2.5, None]})
    db.write_queue_message("queued", "text")
    db.flush()
    assert peer.get("queued") == "text"
    db.delete_message("plain")
    assert peer.get("plain") is None
    db.update_message("number", "456")
    assert peer.get("number") == "456"


def test_we_read_what_it_writes(open_db: Callable[..., DB], open_peer: Callable[..., Peer]) -> None:
    peer = open_peer()
    db = open_db()
    assert db.list_keys() == {"keys": [], "next_marker": None}
    for key, value in TEXTS.items():
        peer.set(key, value)
        assert db.read_message(key) == value
    assert dict(db.iter_messages()) == TEXTS
    assert db.list_keys(page_size=100)["keys"] == sorted(TEXTS)
    peer.set("dict", '{"a": 1}')
    assert db.read_message("dict") == {"a": 1}
    peer.delete("plain")
    assert db.read_message("plain") is None


def test_both_write_in_turn(open_db: Callable[..., DB], open_peer: Callable[..., Peer]) -> None:
    db = open_db()
    peer = open_peer()
    for turn in range(30):
        db.write_message("shared", f"ours {turn}")
        assert peer.get("shared") == f"ours {turn}"
        peer.set("shared", f"theirs {turn}")
        assert db.read_message("shared") == f"theirs {turn}"
        db.write_queue_message("queued", f"ours {turn}")
        db.flush()
        assert peer.delete("queued") is True
        assert db.delete_message("queued") is False
    assert db.update_message("shared", "ours") is True
    assert peer.records() == {"shared": "ours"}


def test_both_write_at_once(open_db: Callable[..., DB], open_peer: Callable[..., Peer]) -> None:
    db = open_db(local={"busy_timeout": 60})
    first, second = open_peer(), open_peer()
    first.begin("write_many", "first-", 300)
    second.begin("write_many", "second-", 300)

    def write(number: int) -> None:
        for turn in range(150):
            db.write_message(f"direct-{number}-{turn}", f"{turn}")
            db.write_queue_message(f"queued-{number}-{turn}", f"{turn}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    db.flush()
    assert first.end() == second.end() == 300
    expected = {f"{who}-{turn}": f"{turn}" for who in ("first", "second") for turn in range(300)}
    for kind in ("direct", "queued"):
        expected |= {f"{kind}-{number}-{turn}": f"{turn}" for number in range(2) for turn in range(150)}
    assert dict(db.iter_messages()) == expected
    db.stop()
    assert first.records() == expected
    assert first.sql("PRAGMA integrity_check") == [["ok"]]


def test_the_schema_is_the_same_to_the_letter(
    tmp_path: Path, open_db: Callable[..., DB], open_peer: Callable[..., Peer], path: Path
) -> None:
    theirs = open_peer(tmp_path / "theirs")
    open_db().write_message("key", "value")
    ours = open_peer(flag="w")
    for question in (
        "SELECT type, name, tbl_name, sql FROM sqlite_schema",
        "PRAGMA table_info(Dict)",
        "PRAGMA index_list(Dict)",
        "PRAGMA journal_mode",
        "PRAGMA encoding",
        "PRAGMA page_size",
        "PRAGMA auto_vacuum",
        "PRAGMA user_version",
        "PRAGMA application_id",
    ):
        assert ours.sql(question) == theirs.sql(question), question
    assert ours.sql("SELECT sql FROM sqlite_schema WHERE name = 'Dict'") == [
        ["CREATE TABLE Dict (\n    key BLOB UNIQUE NOT NULL,\n    value BLOB NOT NULL\n  )"]
    ]
    assert ours.sql("SELECT typeof(key), typeof(value), key, value FROM Dict") == [
        ["blob", "blob", "key", "value"]
    ]
    ours.ask("get", "key")
    assert path.read_bytes()[:16] == b"SQLite format 3\0"


def test_it_is_opened_for_reading_alone(open_db: Callable[..., DB], open_peer: Callable[..., Peer]) -> None:
    db = open_db()
    db.write_message("key", "value")
    reader = open_peer(flag="r")
    assert reader.get("key") == "value"
    db.write_message("key", "again")
    assert reader.get("key") == "again"
    db.stop()
    assert reader.get("key") == "again"


def test_dbm_knows_what_it_is(open_db: Callable[..., DB], path: Path) -> None:
    db = open_db()
    db.write_message("key", "value")
    db.stop()
    # Pythons before 3.13 have never heard of it.
    assert dbm.whichdb(str(path)) in ("dbm.sqlite3", "")


def test_what_is_not_utf8_is_named_and_left(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    peer.set("binary", "\udcff\udcfe")
    peer.set("a", "before")
    peer.set("z", "after")
    db = open_db()
    actions: list[Callable[[], Any]] = [
        lambda: db.read_message("binary"),
        lambda: db.read_messages(["a", "binary"]),
        lambda: db.list_messages(),
        lambda: list(db.iter_messages()),
    ]
    for action in actions:
        with pytest.raises(BackendError, match="binary") as caught:
            action()
        assert caught.value.backend == "local"
        assert "UTF-8" in str(caught.value)
    assert db.list_keys()["keys"] == ["a", "binary", "z"]
    assert db.read_message("z") == "after"
    assert peer.get("binary") == "\udcff\udcfe"
    assert db.write_message("binary", "text")
    assert db.read_message("binary") == "text"


def test_iteration_gives_what_comes_before_a_key_that_is_not_utf8(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    for key in ("a", "b", "c\udcff", "d"):
        peer.set(key, "text")
    seen: list[str] = []
    with pytest.raises(BackendError, match="UTF-8"):
        seen.extend(key for key, _ in open_db().iter_messages())
    messages = open_db().iter_messages(page_size=1)
    assert [next(messages)[0], next(messages)[0]] == ["a", "b"]
    with pytest.raises(BackendError, match="UTF-8"):
        next(messages)


def test_an_empty_key_of_its_own_disturbs_nothing(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    peer.set("", "of the empty key")
    peer.set("a", "text")
    peer.set("b:", "in a bucket")
    db = open_db()
    assert db.read_message("a") == "text"
    assert dict(db.iter_messages(page_size=1)) == {"": "of the empty key", "a": "text", "b:": "in a bucket"}
    assert dict(db.iter_messages(bucket="b", page_size=1)) == {"": "in a bucket"}


def test_text_and_numbers_stored_by_other_statements_are_found_in_lists(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    peer.sql("INSERT INTO Dict VALUES (CAST('a' AS BLOB), 'a text'), (CAST('b' AS BLOB), 42)")
    db = open_db()
    assert db.read_message("a") == "a text"
    assert db.read_message("b") == "42"
    assert db.list_messages() == {"messages": ["a text", "42"], "next_marker": None}


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_a_file_in_another_journal_mode_is_used(
    open_db: Callable[..., DB], path: Path, mode: str, stored: Callable[[], dict[bytes, bytes]]
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute(f"PRAGMA journal_mode = {mode}")
        sqlite.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        sqlite.execute("INSERT INTO Dict VALUES (x'61', x'62')")
    db = open_db()
    assert db.read_message("a") == "b"
    assert db.write_message("c", "d")
    assert stored() == {b"a": b"b", b"c": b"d"}


def test_their_other_tables_and_triggers_are_left_alone(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    peer.sql("CREATE TABLE Log (key)")
    peer.sql("CREATE TRIGGER log AFTER INSERT ON Dict BEGIN INSERT INTO Log VALUES (new.key); END")
    db = open_db()
    db.write_message("a", "1")
    db.write_messages({"b": "2", "c": "3"})
    db.write_queue_message("d", "4")
    db.flush()
    assert sorted(key for (key,) in peer.sql("SELECT key FROM Log")) == ["a", "b", "c", "d"]


def test_overwriting_leaves_the_row_where_it_is(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    peer = open_peer()
    peer.sql("CREATE TABLE Log (key, old, new)")
    log = "INSERT INTO Log VALUES (CAST(new.key AS TEXT), CAST(old.value AS TEXT), CAST(new.value AS TEXT))"
    peer.sql(f"CREATE TRIGGER log AFTER UPDATE ON Dict BEGIN {log}; END")
    keys = [f"key-{number:03}" for number in range(150)]  # more than one statement takes
    db = open_db()
    db.write_messages(dict.fromkeys(keys, "1"))
    rows = peer.sql("SELECT rowid, key FROM Dict ORDER BY key")
    db.write_messages(dict.fromkeys(keys, "2"))
    db.write_message(keys[0], "3")
    db.write_queue_message(keys[0], "4")
    db.flush()
    assert peer.sql("SELECT rowid, key FROM Dict ORDER BY key") == rows
    assert db.read_messages(keys) == dict.fromkeys(keys, "2") | {keys[0]: "4"}
    # A trigger of somebody else's sees an update, where REPLACE would show an insertion.
    seen = [[key, "1", "2"] for key in keys] + [[keys[0], "2", "3"], [keys[0], "3", "4"]]
    assert sorted(peer.sql("SELECT * FROM Log")) == sorted(seen)


def test_a_constraint_of_somebody_elses_swallows_no_write(
    open_db: Callable[..., DB], open_peer: Callable[..., Peer]
) -> None:
    open_peer().sql("CREATE UNIQUE INDEX other ON Dict (value)")
    db = open_db()
    assert db.write_message("a", "same")
    assert db.write_message("b", "same")
    # As with dbm.sqlite3: the row that stands in the way is replaced.
    assert dict(db.iter_messages()) == {"b": "same"}
    db.write_queue_message("c", "same")
    db.flush()
    assert dict(db.iter_messages()) == {"c": "same"}


def test_a_table_without_the_constraint_takes_rows(
    open_db: Callable[..., DB], path: Path, stored: Callable[[], dict[bytes, bytes]]
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE Dict (key BLOB NOT NULL, value BLOB NOT NULL)")
    db = open_db()
    assert db.write_message("a", "1")
    assert db.write_messages({"b": "2", "c": "3"}) == 2
    assert stored() == {b"a": b"1", b"b": b"2", b"c": b"3"}
