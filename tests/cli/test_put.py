"""`tetherdb put` and `tetherdb update`."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Ran


@pytest.fixture
def stored_text(tmp_path: Path) -> Callable[[str], str]:
    """The text that is stored under a key, as another program finds it."""

    def read(key: str) -> str:
        connection = sqlite3.connect(tmp_path / "localdb")
        [(value,)] = connection.execute("SELECT value FROM Dict WHERE key = ?", (key.encode(),))
        connection.close()
        return bytes(value).decode()

    return read


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("text", "text"),
        ("", ""),
        ('{"b":1,"a":"\u00e4"}', '{"b": 1, "a": "\\u00e4"}'),
        (' \n{"n": 1e3}', '{"n": 1000.0}'),
        ("{no json", "{no json"),
        ("[1,2]", "[1,2]"),
        ("null", "null"),
    ],
)
def test_an_object_is_stored_as_json_dumps_spells_it_and_all_else_as_it_is(
    tetherdb: Callable[..., Ran], stored_text: Callable[[str], str], given: str, stored: str
) -> None:
    for more in ({"stdin": given}, {"stdin": given + "\n"}):
        assert tetherdb("put", "piped", **more) == tetherdb("put", "given", given)
        assert stored_text("piped") == stored_text("given") == stored


def test_an_object_with_a_mistake_is_remarked_on(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("put", "a", '{"a" 1}')
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == (
        "tetherdb: stored as a text, since it is no JSON object: Expecting ':' delimiter: line 1 "
        "column 6 (char 5). --text says that it is meant so\n"
    )
    for more in ("--text", "--quiet"):
        assert tetherdb("put", "a", '{"a" 1}', more).err == ""


def test_text_is_stored_exactly(tetherdb: Callable[..., Ran], stored_text: Callable[[str], str]) -> None:
    for text in ('{"a":1}', "line\n", '{"a":1,"a":2}'):
        assert tetherdb("put", "a", "--text", text).code == 0
        assert tetherdb("put", "b", "-", "--text", stdin=text).code == 0
        assert stored_text("a") == stored_text("b") == text


def test_what_get_prints_put_stores(tetherdb: Callable[..., Ran], stored_text: Callable[[str], str]) -> None:
    for text in ("one\n\ntwo\n", "\n", '{"a": 1}'):
        tetherdb("put", "a", "--text", stdin=text)
        tetherdb("put", "b", stdin=tetherdb("get", "a").out)
        assert stored_text("b") == text


def test_it_says_nothing_but_to_machines(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("put", "a", "1")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    ended = tetherdb("update", "a", "2", "--json")
    assert (ended.records, ended.err) == ([{"key": "a", "written": True}], "")


def test_buckets_and_files(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    tetherdb("put", "a", "1", "--bucket", "users")
    tetherdb("--file", "other", "put", "a", "2")
    assert content() == {"users:a": "1"}
    assert tetherdb("get", "a", "--file", "other").out == "2\n"


@pytest.mark.parametrize("at", [0, 3, 1_000_000])
def test_input_that_is_no_utf_8_is_refused(tetherdb: Callable[..., Ran], tmp_path: Path, at: int) -> None:
    for command in ("put", "update"):
        ended = tetherdb(command, "a", stdin=b"x" * at + b"\xff\xfe")
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            f"tetherdb: standard input is not UTF-8: byte {at} is 0xff. Nothing was written; "
            "convert it first, such as with iconv\n"
        )
    ended = tetherdb("put", "a", b"ab\xff")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tetherdb: the value is not UTF-8: byte 2 is 0xff.")
    assert not (tmp_path / "localdb").exists()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ('{"a": {"b": 1, "b": 2}}', '"b" is in it twice'),
        ('{"a": -1e400}', "the number -1e400 is too large"),
        ('{"a": ' + "9" * 5000 + "}", "it has a number of more digits than are read"),
        ('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}", "it is nested too deeply"),
    ],
)
def test_what_would_be_changed_silently_is_refused(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]], value: str, why: str
) -> None:
    ended = tetherdb("put", "a", value)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"tetherdb: the value is a JSON object that cannot be kept as it is: {why}. "
        "--text stores it as a text\n"
    )
    assert content() == {}
    assert tetherdb("put", "a", "--text", value).code == 0


def test_update_of_a_missing_key_writes_nothing(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]
) -> None:
    ended = tetherdb("update", "a", "1")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        'tetherdb: "a" does not exist in the file localdb, which does not exist. Nothing was written; '
        "tetherdb put writes it\n"
    )
    assert tetherdb("update", "a", "1", "--json").records == [{"key": "a", "written": False}]
    assert content() == {}


def test_update_replaces(
    tetherdb: Callable[..., Ran],
    store: Callable[[Mapping[str, Any]], None],
    content: Callable[[], dict[str, Any]],
) -> None:
    store({"a": "old", "b": "old"})
    assert tetherdb("update", "a", "-", stdin='{"new": 1}\n').code == 0
    assert content() == {"a": {"new": 1}, "b": "old"}


def test_five_megabytes(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    text = "\u20ac" * 1_700_000
    assert tetherdb("put", "a", stdin=text + "\n").code == 0
    assert content() == {"a": text}


def test_a_terminal_is_told_that_it_is_read(
    terminal: Callable[..., Ran], content: Callable[[], dict[str, Any]]
) -> None:
    ended = terminal("put", "a", typed="typed in\n\x04", when="Ctrl-D")
    assert ended.code == 0
    assert "the value is read from here; Ctrl-D on a line of its own ends it" in plain(ended.out)
    assert content() == {"a": "typed in"}


def test_an_empty_key(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("put", "", "x")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tetherdb: Invalid value for 'KEY': the key is empty. Give at least one character. "
        "See: tetherdb put --help\n"
    )


def test_a_wrong_configuration_does_not_wait_for_input(
    start: Callable[..., Any], configured: Callable[..., Path]
) -> None:
    process = start("put", "a", "--config", configured(locl={}))
    # Its input stays open.
    assert process.wait(60) == 2
