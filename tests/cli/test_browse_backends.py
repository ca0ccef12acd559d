"""`tetherdb browse` on etcd and DynamoDB, and on backends that are down."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from cli.browsing import Seen, browse
from TetherDB.cli.browse.panes import PlaceRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer
    from TetherDB import DB


def test_etcd(open_db: Callable[..., DB], clean_etcd: EtcdServer) -> None:
    db = open_db(etcd=clean_etcd.section())
    db.write_messages({f"{n:04}": {"n": n} for n in range(500)}, bucket="numbers", backend="etcd")
    db.write_messages({"here": "1"})

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "etcd 500" in seen.places())
        await seen.choose("numbers")
        await seen.value_of("0000")
        assert "backend etcd" in seen.about()
        await seen.press("slash", *"049", "enter")
        await seen.until(lambda: seen.keys() == [*(f"{n:04}" for n in range(490, 500)), "0049"])
        await seen.value_of("0490")
        await seen.press("d")
        assert "Delete numbers:0490 from etcd?" in await seen.question()
        await seen.press("y")
        await seen.value_of("0491")

    browse(db, play, "local", "etcd", write=True)
    assert db.read_message("0490", bucket="numbers", backend="etcd") is None


def test_dynamodb_is_scanned_only_where_one_asks(
    open_db: Callable[..., DB], dynamodb: DynamoDb, dynamodb_table: str
) -> None:
    db = open_db(dynamodb=dynamodb.section(dynamodb_table))
    db.write_messages({f"{n:04}": "v" for n in range(300)}, bucket="numbers", backend="dynamodb")
    db.write_messages({"alice": {"name": "Alice"}}, bucket="users", backend="dynamodb")
    db.write_messages({"loose": "v"}, backend="dynamodb")
    asked: list[tuple[Any, ...]] = []

    def note(*args: Any) -> Any:
        if args[-1] == "dynamodb":
            asked.append(args)
        return db.list_keys(*args)

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.count() == "no keys here")
        assert "dynamodb s: scan" in seen.places()
        assert asked == []
        seen.app.query_one(PlaceRows).focus()
        await seen.press("end", "s")
        await seen.until(lambda: "dynamodb 302" in seen.places())
        assert seen.places()[1:] == ["dynamodb 302", "numbers 300", "users 1", "(no bucket) 1"]
        await seen.choose("users")
        await seen.until(lambda: seen.keys() == ["alice"] and seen.count() == "1 key")
        await seen.choose("dynamodb")
        await seen.until(lambda: len(seen.keys()) >= 200)
        asked.clear()
        # Nothing is read while one types.
        await seen.press("slash", *"ALIC")
        await seen.until(lambda: seen.count().startswith("enter: search"))
        assert asked == []
        await seen.press("enter")
        await seen.until(lambda: seen.count() == "1 found in 302 keys")
        assert seen.keys() == ["users:alice"]

    browse(db, play, "local", "dynamodb", list_page=note)


def test_a_backend_that_is_down(open_db: Callable[..., DB]) -> None:
    # Nobody listens there.
    db = open_db(etcd={"port": 1, "timeout": 1})
    db.write_message("here", "1")
    asked: list[tuple[Any, ...]] = []

    def note(*args: Any) -> Any:
        asked.append(args)
        return db.list_keys(*args)

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "etcd failed" in seen.places())
        await seen.value_of("here")
        await seen.choose("etcd")
        await seen.until(lambda: "Press r to try again." in seen.problem())
        assert "etcd" in seen.problem()
        before = len(asked)
        await seen.press("r")
        await seen.until(lambda: len(asked) > before and "Press r to try again." in seen.problem())
        await seen.choose("local")
        await seen.value_of("here")

    browse(db, play, "local", "etcd", list_page=note)


def test_a_backend_that_comes_back(open_db: Callable[..., DB], own_etcd: EtcdServer) -> None:
    db = open_db(etcd=own_etcd.section() | {"timeout": 2})
    db.write_message("there", "1", backend="etcd")
    own_etcd.pause()

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "etcd failed" in seen.places())
        await seen.choose("etcd")
        await seen.until(lambda: "Press r to try again." in seen.problem())
        own_etcd.resume()
        await seen.press("r")
        await seen.value_of("there")
        await seen.until(lambda: seen.places()[-1] == "(no bucket) 1")

    browse(db, play, "local", "etcd")


def test_a_backend_that_hangs_holds_up_nothing(open_db: Callable[..., DB], own_etcd: EtcdServer) -> None:
    db = open_db(etcd=own_etcd.section() | {"timeout": 100})
    db.write_messages({"a": "1", "b": "2"})
    own_etcd.pause()

    async def play(seen: Seen) -> None:
        await seen.value_of("a")
        await seen.choose("etcd")
        await seen.until(lambda: seen.app.place.backend == "etcd")
        await seen.choose("local")
        await seen.value_of("a")
        await seen.press("down")
        await seen.value_of("b")

    browse(db, play, "local", "etcd")
    # The requests are still under way, and nobody waits for them.
    assert any(thread.name == "tetherdb-browse-etcd" for thread in threading.enumerate())
    own_etcd.resume()


def test_a_record_that_is_not_text(
    open_db: Callable[..., DB], sql: Callable[..., list[tuple[Any, ...]]]
) -> None:
    db = open_db()
    db.write_message("good", "1")
    sql("INSERT INTO Dict (key, value) VALUES (CAST('bad' AS BLOB), x'ff')")

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "not UTF-8" in seen.value())
        await seen.press("down")
        await seen.value_of("good")

    browse(db, play)
