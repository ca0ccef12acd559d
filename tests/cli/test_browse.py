"""`tetherdb browse`: looking through a store."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input

from cli.browsing import Seen, browse
from TetherDB.cli.browse.listing import KEPT
from TetherDB.cli.browse.panes import KeyPane, KeyRows
from TetherDB.cli.browse.places import MOST_BUCKETS, SCANNED_AT_ONCE
from TetherDB.cli.browse.queues import JournalWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from TetherDB import DB


@pytest.fixture
def db(open_db: Callable[..., DB]) -> DB:
    return open_db()


def test_the_buckets_and_the_keys_of_one(db: DB) -> None:
    db.write_messages({"alice": {"name": "Alice"}, "bob": {"name": "Bob"}}, bucket="users")
    db.write_messages({"pen": "5"}, bucket="stock")
    db.write_messages({"loose": "text"})

    async def play(seen: Seen) -> None:
        await seen.until(lambda: len(seen.places()) == 4)
        assert seen.places() == ["▸local 4", "stock 1", "users 2", "(no bucket) 1"]
        await seen.until(lambda: seen.keys() == ["loose", "stock:pen", "users:alice", "users:bob"])
        await seen.choose("users")
        await seen.until(lambda: seen.keys() == ["alice", "bob"])
        await seen.until(lambda: seen.count() == "2 keys")
        await seen.value_of("alice")
        assert "bucket  users" in seen.about()
        assert "size    17 bytes, JSON" in seen.about()
        assert seen.value() == '{\n  "name": "Alice"\n}'
        await seen.press("down")
        await seen.value_of("bob")
        await seen.choose("bucket)")
        await seen.until(lambda: seen.keys() == ["loose"])
        await seen.value_of("loose")
        assert seen.value() == "text"

    browse(db, play)


def test_a_bucket_with_a_colon(db: DB) -> None:
    db.write_messages({f"{n:03}": "v" for n in range(500)}, bucket="a:b")

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.places() == ["local 500", "a 500"])
        await seen.until(lambda: seen.count() == "200 keys loaded; more below")
        assert seen.keys()[0] == "000"

    browse(db, play, bucket="a:b")


def test_the_mouse(db: DB) -> None:
    db.write_messages({"a": "1", "b": "2", "c": "3"}, bucket="users")

    async def play(seen: Seen) -> None:
        await seen.value_of("a")
        await seen.pilot.click("#keys", offset=(3, 2))
        await seen.value_of("c")
        await seen.until(lambda: len(seen.places()) == 2)
        await seen.pilot.click("#places", offset=(3, 1))
        await seen.until(lambda: seen.keys() == ["a", "b", "c"])

    browse(db, play)


def test_more_buckets_than_are_listed(db: DB) -> None:
    db.write_messages({f"b{n:04}:k": "v" for n in range(MOST_BUCKETS + 100)})

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.places()[0] == f"▸local {MOST_BUCKETS + 100}")
        assert len(seen.places()) == MOST_BUCKETS + 1
        await seen.until(lambda: f"{MOST_BUCKETS} buckets listed" in seen.screen())

    browse(db, play)


def test_an_empty_store(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.places() == ["▸local 0"])
        await seen.until(lambda: seen.count() == "no keys here")
        await seen.press("down", "end", "enter", "c", "e", "d")
        assert seen.about() == ""
        await seen.until(lambda: "There is no value to copy." in seen.said())

    browse(db, play, write=True)


def test_the_place_that_the_options_name(db: DB) -> None:
    db.write_messages({"alice": "1"}, bucket="users")
    db.write_messages({"other": "1"})

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.keys() == ["alice"])

    browse(db, play, bucket="users")


def test_keys_are_loaded_as_one_scrolls(db: DB) -> None:
    db.write_messages({f"{n:06}": "v" for n in range(100_000)}, bucket="many")

    async def play(seen: Seen) -> None:
        await seen.choose("many")
        await seen.until(lambda: seen.count() == "200 of 100,000 loaded")
        rows = seen.app.query_one(KeyRows)
        most = 0
        while rows.cursor < 99_999:
            rows.action_last()
            await seen.until(lambda: rows.count > rows.cursor + 1 or rows.count == 100_000)
            assert seen.app.listing is not None
            most = max(most, seen.app.listing.loaded)
            if rows.cursor == rows.count - 1:
                break
        assert KEPT / 2 < most <= KEPT + 200
        await seen.value_of("099999")
        # What was let go is read again.
        await seen.press("home")
        await seen.value_of("000000")
        await seen.until(lambda: rows.text(0, 40).plain.strip() == "000000")
        assert seen.app.listing is not None
        assert seen.app.listing.loaded <= KEPT + 200

    browse(db, play)


def test_search_as_it_is_typed(db: DB) -> None:
    db.write_messages({f"user{n:05}": "v" for n in range(20_000)}, bucket="users")
    db.write_messages({"Zoe": "v", "the-user00012": "v"}, bucket="users")

    async def play(seen: Seen) -> None:
        await seen.choose("users")
        await seen.press("slash", *"user0001")
        await seen.until(lambda: seen.count() == "11 found in 20,002 keys")
        # What begins so comes first.
        assert seen.keys() == [*(f"user{n:05}" for n in range(10, 20)), "the-user00012"]
        await seen.press("2")
        await seen.until(lambda: seen.keys() == ["user00012", "the-user00012"])
        await seen.press("enter")
        await seen.value_of("user00012")
        await seen.press("escape")
        await seen.until(lambda: seen.count().startswith("200 of 20,002 loaded"))
        assert seen.app.query_one("#search", Input).value == ""
        await seen.press("slash", *"zo")
        await seen.until(lambda: seen.keys() == ["Zoe"])
        await seen.press("escape", "slash", *"nobody")
        await seen.until(lambda: seen.count() == "0 found in 20,002 keys")

    browse(db, play)


def test_a_search_says_that_it_goes_on(db: DB, monkeypatch: pytest.MonkeyPatch) -> None:
    db.write_messages({f"{n:05}": "v" for n in range(10_000)})
    said: list[str] = []

    async def play(seen: Seen) -> None:
        remark = KeyPane.remark

        def noted(pane: KeyPane, text: str) -> None:
            said.append(text)
            remark(pane, text)

        monkeypatch.setattr(KeyPane, "remark", noted)
        await seen.press("slash", "x")
        await seen.until(lambda: seen.count() == "0 found in 10,000 keys")
        assert any(text.startswith("searching… 0 found, 4,000 keys looked at") for text in said)
        # A search with many results waits until one scrolls.
        await seen.press("backspace", "9")
        await seen.until(lambda: seen.count().endswith("; more below"))

    browse(db, play)


def test_the_last_search_wins(db: DB) -> None:
    db.write_messages({f"key{n:05}": "v" for n in range(30_000)})

    async def play(seen: Seen) -> None:
        await seen.press("slash", *"29999", *["backspace"] * 5, *"key00003")
        await seen.until(lambda: seen.count() == "1 found in 30,000 keys")
        assert seen.keys() == ["key00003"]

    browse(db, play)


def test_what_would_move_the_cursor_is_escaped(db: DB) -> None:
    markup = {"[bold]x[/]": "[red]y[/]", "esc\x1b[31m": "a\x1b[2Jb\nc", "tab\tline\n": "v"}
    db.write_messages(markup)

    async def play(seen: Seen) -> None:
        expected = ["[bold]x[/]", "esc\\u001b[31m", "tab\\tline\\n"]
        await seen.until(lambda: seen.keys() == expected)
        await seen.value_of("[bold]x[/]")
        assert seen.value() == "[red]y[/]"
        await seen.press("down")
        await seen.value_of("esc\\u001b[31m")
        assert seen.value() == "a\\u001b[2Jb\nc"
        assert "\x1b" not in seen.screen()

    browse(db, play)


def test_buckets_with_markup(db: DB) -> None:
    db.write_messages({"k": "v"}, bucket="[b]\x1b")

    async def play(seen: Seen) -> None:
        await seen.choose("[b]\\u001b")
        await seen.until(lambda: seen.keys() == ["k"])
        await seen.until(lambda: "local / [b]\\u001b" in seen.screen())

    browse(db, play)


def test_a_large_value_is_cut(db: DB) -> None:
    db.write_message("large", {"text": "x" * 5_000_000, "more": 1})
    db.write_message("long", "y" * 60_000)

    async def play(seen: Seen) -> None:
        await seen.value_of("large")
        assert "4.8 MiB (5,000,023 bytes), JSON" in seen.about()
        assert len(seen.value()) < 60_000
        assert "more characters are not shown" in seen.value()
        await seen.press("c")
        await seen.until(lambda: any("too large for a clipboard" in text for text in seen.said()))
        await seen.press("down")
        await seen.value_of("long")
        assert "10,000 more characters are not shown. All of it: tetherdb get" in seen.value()

    browse(db, play)


def test_copying(db: DB) -> None:
    db.write_messages({"alice": {"city": "Zürich"}}, bucket="users")

    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        await seen.press("c")
        assert json.loads(seen.app.clipboard) == {"city": "Zürich"}
        await seen.press("C")
        assert seen.app.clipboard == "users:alice"

    browse(db, play)


def test_refresh_shows_what_others_have_written(db: DB) -> None:
    db.write_messages({"a": "1"}, bucket="old")

    async def play(seen: Seen) -> None:
        await seen.value_of("a")
        db.write_messages({"b": "2"}, bucket="fresh")
        db.write_message("a", "changed", bucket="old")
        await seen.press("r")
        await seen.until(lambda: seen.places() == ["▸local 2", "fresh 1", "old 1"])
        await seen.until(lambda: seen.keys() == ["fresh:b", "old:a"])
        await seen.press("down")
        await seen.value_of("a")
        assert seen.value() == "changed"

    browse(db, play)


def test_a_key_that_is_gone(db: DB) -> None:
    db.write_messages({"a": "1", "b": "2"})

    async def play(seen: Seen) -> None:
        await seen.value_of("a")
        db.delete_message("b")
        await seen.press("down")
        await seen.until(lambda: "It was deleted meanwhile." in seen.value())

    browse(db, play)


def test_the_accounts_of_the_queue(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.until(lambda: "local              0          0          0" in seen.status())
        for n in range(7):
            db.write_queue_message(str(n), "v")
        db.flush()
        await seen.until(lambda: "local              7          0          7          0" in seen.status())
        assert "journal  none configured" in seen.status()

    browse(db, play)


@pytest.mark.usefixtures("refuse_bad")
def test_what_the_queue_has_given_up(db: DB) -> None:
    async def play(seen: Seen) -> None:
        db.write_queue_message("bad", "v")
        await seen.until(lambda: "refused by the trigger" in seen.status())
        assert "local              1          0          0          1" in seen.status()

    browse(db, play)


@pytest.mark.usefixtures("refuse_bad")
def test_the_journal_of_a_running_program(open_db: Callable[..., DB], tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    owner = open_db(queue_batch={"journal": str(journal), "timeout": 60, "size": 100})
    owner.write_queue_message("good", "v")

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "journal: 1 pending, 0 given up, last opened by process" in seen.status())
        owner.write_queue_message("bad", "v")
        with pytest.raises(Exception, match="refused by the trigger"):
            owner.flush()
        await seen.until(lambda: "journal: 0 pending, 1 given up" in seen.status())
        assert "refused by the trigger" in seen.status()

    browse(open_db(), play, journal=JournalWatch(journal))


def test_a_journal_that_is_not_there(db: DB, tmp_path: Path) -> None:
    async def play(seen: Seen) -> None:
        await seen.until(lambda: "journal  nothing: no file" in seen.status())

    browse(db, play, journal=JournalWatch(tmp_path / "nothing"))


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (40, 12)])
def test_sizes_of_the_terminal(db: DB, size: tuple[int, int]) -> None:
    db.write_messages({f"{'long-' * 30}{n:03}": {"n": n} for n in range(100)}, bucket="b" * 60)

    async def play(seen: Seen) -> None:
        await seen.until(lambda: "keys" in seen.count())
        await seen.until(lambda: seen.value().startswith("{"))
        lines = seen.screen().splitlines()
        assert len(lines) == size[1]
        assert "TetherDB" in lines[0]
        if size != (40, 12):
            assert "…" in seen.screen()
            await seen.until(lambda: "q Quit" in seen.screen().splitlines()[-1])
        await seen.press("question_mark")
        await seen.until(lambda: len(seen.app.screen_stack) == 2)
        await seen.press("escape")

    browse(db, play, size=size)


def test_help(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.press("question_mark")
        await seen.until(lambda: "copy the value, or the key" in seen.screen())
        # The window below does nothing meanwhile.
        await seen.press("slash", "e")
        assert len(seen.app.screen_stack) == 2
        await seen.press("escape")
        await seen.until(lambda: len(seen.app.screen_stack) == 1)

    browse(db, play)


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("ctrl+c", 130)])
def test_quitting(db: DB, key: str, code: int) -> None:
    async def play(seen: Seen) -> None:
        await seen.press(key)

    assert browse(db, play).return_code == code


def test_ctrl_c_in_the_search_field_quits(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.press("slash", "q", "ctrl+c")

    assert browse(db, play).return_code == 130


def test_a_scan_can_be_stopped_and_begun_again(db: DB) -> None:
    db.write_messages({f"{n:05}": "v" for n in range(5000)}, bucket="many")
    go = threading.Event()

    def slow(size: int, after: str | None, bucket: str, backend: str) -> Any:
        # The second page of a scan takes its time.
        if size == SCANNED_AT_ONCE and after is not None:
            go.wait(60)
        return db.list_keys(size, after, bucket, backend)

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.places()[0] == "▸local 2,000…")
        await seen.press("s")
        await seen.until(lambda: seen.places()[0] == "▸local 2,000+")
        go.set()
        await seen.press("s")
        await seen.until(lambda: seen.places() == ["▸local 5,000", "many 5,000"])

    browse(db, play, list_page=slow)
