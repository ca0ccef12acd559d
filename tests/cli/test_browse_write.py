"""`tetherdb browse --write`: editing, making and deleting keys; and that without it nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Checkbox

from cli.browsing import Seen, browse

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB


@pytest.fixture
def db(open_db: Callable[..., DB]) -> DB:
    db = open_db()
    db.write_message("alice", {"name": "Alice", "age": 41}, bucket="users")
    db.write_message("bob", "just text", bucket="users")
    return db


def test_read_only_refuses_every_key_that_changes_something(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        for key in "end":
            seen.said().clear()
            await seen.press(key)
            await seen.until(seen.said)
            assert len(seen.said()) == 1
            assert "start with: tetherdb browse --write" in seen.said()[-1]
            assert len(seen.app.screen_stack) == 1
        assert "Edit" not in seen.screen()
        assert "read-only" in seen.screen().splitlines()[0]

    browse(db, play)
    assert db.read_messages(["alice", "bob"], bucket="users") == {
        "alice": {"name": "Alice", "age": 41},
        "bob": "just text",
    }


def test_editing_json(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.until(lambda: "WRITE" in seen.screen().splitlines()[0])
        await seen.value_of("alice")
        await seen.press("e")
        text = await seen.editor()
        assert text.text == '{\n  "name": "Alice",\n  "age": 41\n}'
        # What is no JSON is told, and nothing is asked.
        text.text = '{"name": "Alice", "age": }'
        await seen.press("ctrl+s")
        await seen.until(lambda: seen.text("#wrong") == "No JSON: Expecting value, line 1, column 26.")
        text.text = "[1]"
        await seen.press("ctrl+s")
        await seen.until(lambda: "Only a JSON object" in seen.text("#wrong"))
        text.text = '{"name": "Alice", "age": 42}'
        await seen.press("ctrl+s")
        asked = await seen.question()
        assert asked.startswith("Overwrite users:alice in local?")
        assert '-  "age": 41' in asked
        assert '+  "age": 42' in asked
        # Enter says no, and what was typed is there again.
        await seen.press("enter")
        text = await seen.editor()
        assert text.text == '{\n  "name": "Alice",\n  "age": 42\n}'
        assert db.read_message("alice", bucket="users") == {"name": "Alice", "age": 41}
        await seen.press("ctrl+s")
        await seen.question()
        await seen.press("y")
        await seen.until(lambda: '"age": 42' in seen.value())

    browse(db, play, write=True)
    assert db.read_message("alice", bucket="users") == {"name": "Alice", "age": 42}


def test_editing_text(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.press("down")
        await seen.value_of("bob")
        await seen.press("e")
        text = await seen.editor()
        assert text.text == "just text"
        assert seen.app.screen.query_one(Checkbox).value is False
        text.text = '{"no": json'
        await seen.press("ctrl+s")
        await seen.question()
        await seen.press("y")
        await seen.until(lambda: seen.value() == '{"no": json')

    browse(db, play, write=True)
    assert db.read_message("bob", bucket="users") == '{"no": json'


def test_leaving_the_editor(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        # Nothing was typed: nothing is asked.
        await seen.press("e")
        await seen.editor()
        await seen.press("escape")
        await seen.until(lambda: len(seen.app.screen_stack) == 1)
        for key in ("escape", "ctrl+c"):
            await seen.press("e")
            await seen.editor()
            await seen.press("x", key)
            assert "What you typed is lost." in await seen.question()
            await seen.press("n")
            text = await seen.editor()
            assert text.text.startswith("x{")
            await seen.press(key)
            await seen.question()
            await seen.press("y")
            await seen.until(lambda: len(seen.app.screen_stack) == 1)

    browse(db, play, write=True)
    assert db.read_message("alice", bucket="users") == {"name": "Alice", "age": 41}


def test_somebody_else_changes_it_meanwhile(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        await seen.press("e")
        text = await seen.editor()
        text.text = '{"name": "Alice", "age": 50}'
        db.write_message("alice", {"name": "Alice", "age": 99}, bucket="users")
        await seen.press("ctrl+s")
        asked = await seen.question()
        assert "has changed meanwhile. Overwrite what somebody else wrote?" in asked
        meanwhile, mine = asked.split("What overwriting it changes now:")
        assert '-  "age": 41' in meanwhile
        assert '+  "age": 99' in meanwhile
        assert '-  "age": 99' in mine
        assert '+  "age": 50' in mine
        await seen.press("n")
        await seen.editor()
        assert db.read_message("alice", bucket="users") == {"name": "Alice", "age": 99}
        await seen.press("ctrl+s")
        await seen.question()
        await seen.press("y")
        await seen.until(lambda: '"age": 50' in seen.value())

    browse(db, play, write=True)


def test_somebody_else_deletes_it_meanwhile(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        await seen.press("e")
        text = await seen.editor()
        text.text = '{"name": "Alice II"}'
        db.delete_message("alice", bucket="users")
        await seen.press("ctrl+s")
        assert "was deleted meanwhile by somebody else. Write it to local again?" in await seen.question()
        await seen.press("y")
        await seen.until(lambda: "Alice II" in seen.value())

    browse(db, play, write=True)
    assert db.read_message("alice", bucket="users") == {"name": "Alice II"}


def test_a_new_key(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.choose("users")
        await seen.until(lambda: seen.keys() == ["alice", "bob"])
        await seen.press("n")
        text = await seen.editor()
        seen.set_key("users:carol")
        text.text = '{"name": "Carol"}'
        await seen.press("ctrl+s")
        asked = await seen.question()
        assert asked.startswith("Write users:carol to local?")
        assert '+  "name": "Carol"' in asked
        await seen.press("y")
        await seen.until(lambda: seen.keys() == ["alice", "bob", "carol"])
        await seen.until(lambda: "▸users 3" in seen.places())

    browse(db, play, write=True)
    assert db.read_message("carol", bucket="users") == {"name": "Carol"}


def test_a_new_key_that_exists_and_one_that_is_empty(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        await seen.press("n")
        await seen.editor()
        seen.set_key("")
        await seen.press("ctrl+s")
        await seen.until(lambda: seen.text("#wrong") == "The key is empty.")
        seen.set_key("users:bob")
        await seen.press("ctrl+s")
        assert "users:bob exists in local. Overwrite it?" in await seen.question()
        await seen.press("n")
        await seen.editor()

    browse(db, play, write=True)
    assert db.read_message("bob", bucket="users") == "just text"


def test_deleting(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.choose("users")
        await seen.value_of("alice")
        await seen.press("d")
        asked = await seen.question()
        assert asked.startswith("Delete users:alice from local? It cannot be undone.")
        assert '"name": "Alice"' in asked
        # Enter is no answer that deletes.
        await seen.press("enter")
        await seen.until(lambda: len(seen.app.screen_stack) == 1)
        assert db.read_message("alice", bucket="users") is not None
        await seen.press("d")
        await seen.question()
        await seen.press("y")
        await seen.until(lambda: seen.keys() == ["bob"])
        await seen.value_of("bob")
        await seen.until(lambda: "▸users 1" in seen.places())

    browse(db, play, write=True)
    assert db.list_keys(bucket="users")["keys"] == ["bob"]


def test_deleting_what_has_changed_meanwhile(db: DB) -> None:
    async def play(seen: Seen) -> None:
        await seen.value_of("alice")
        db.write_message("alice", "other", bucket="users")
        await seen.press("d")
        asked = await seen.question()
        assert "Somebody else has changed it meanwhile" in asked
        assert "other" in asked
        await seen.press("n")

    browse(db, play, write=True)
    assert db.read_message("alice", bucket="users") == "other"


@pytest.mark.parametrize("text", ["line\r\nline", "\x1b[31m", "x" * 300_000])
def test_what_an_editor_would_change_is_not_edited(db: DB, text: str) -> None:
    db.write_message("0", text)

    async def play(seen: Seen) -> None:
        await seen.value_of("0")
        await seen.press("e")
        await seen.until(lambda: any("Use: tetherdb get, and tetherdb put" in said for said in seen.said()))
        assert len(seen.app.screen_stack) == 1

    browse(db, play, write=True)
    assert db.read_message("0") == text


@pytest.mark.usefixtures("refuse_bad")
def test_a_write_that_fails_loses_nothing(open_db: Callable[..., DB]) -> None:
    db = open_db()

    async def play(seen: Seen) -> None:
        await seen.until(lambda: seen.count() == "no keys here")
        await seen.press("n")
        text = await seen.editor()
        seen.set_key("k")
        text.text = '{"a": "bad"}'
        await seen.press("ctrl+s")
        await seen.question()
        await seen.press("y")
        await seen.until(lambda: any("refused by the trigger" in said for said in seen.said()))
        text = await seen.editor()
        assert "bad" in text.text

    browse(db, play, write=True)
    assert db.list_keys()["keys"] == []
