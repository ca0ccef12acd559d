"""`tetherdb get`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Ran, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEXTS = [
    "text",
    "",
    "two\nlines\n",
    '{"a":1,  "b": [1.50]}',
    "123",
    "  {no json",
    "\u00e4\U0001f600\x1b[31m\r",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_pipe_gets_the_stored_text_and_a_newline(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None], text: str
) -> None:
    store({"key": text})
    assert tetherdb("get", "key") == Ran(0, text + "\n", "")


def test_several_keys_come_in_their_order(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"users:a": {"n": 1}, "users:b": "text"})
    ended = tetherdb("get", "b", "a", "b", "--bucket", "users")
    assert (ended.code, ended.out, ended.err) == (0, 'text\n{"n": 1}\ntext\n', "")


def test_json_names_the_keys(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"a": {"n": 1.5, "\u00e4": "\u20ac"}, "b": "two\nlines", "c": '{"high": "\\ud800"}'})
    ended = tetherdb("get", "a", "b", "c", "--json")
    assert ended.out.splitlines()[:2] == [
        '{"key": "a", "value": {"n": 1.5, "\u00e4": "\u20ac"}}',
        '{"key": "b", "value": "two\\nlines"}',
    ]
    assert ended.records[2] == {"key": "c", "value": {"high": "\ud800"}}


def test_a_missing_key_ends_with_1_and_the_others_are_printed(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"users:a": "1"})
    ended = tetherdb("get", "nobody", "a", "--bucket", "users")
    assert (ended.code, ended.out) == (1, "1\n")
    assert ended.err == 'tetherdb: "nobody" does not exist in bucket "users" of the file localdb\n'


def test_without_a_file_the_error_says_so(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("get", "a", "--file", "nowhere")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == 'tetherdb: "a" does not exist in the file nowhere, which does not exist\n'


def test_a_terminal_shows_an_object_laid_out_and_in_colours(
    terminal: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"a": {"name": "Alice", "tags": ["[red]x"], "long": "x" * 150}})
    ended = terminal("get", "a")
    assert "\x1b[" in ended.out
    assert plain(ended.out) == (
        f'{{\n  "name": "Alice",\n  "tags": [\n    "[red]x"\n  ],\n  "long": "{"x" * 150}"\n}}\n'
    )
    assert "\x1b[" not in terminal("get", "a", NO_COLOR="1").out.replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_a_terminal_is_told_which_of_several_keys_it_is(
    terminal: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"[red]a\x1b[2J": "1", "b": "2"})
    assert plain(terminal("get", "[red]a\x1b[2J", "b").out) == "[red]a\\u001b[2J\n1\nb\n2\n"


@pytest.mark.parametrize("value", ["wipe\x1b[2J\x07 \u202e\x9b", {"wipe": "\x1b[2J\x07 \u202e\x9b"}])
def test_a_terminal_is_not_steered_by_what_is_stored(
    terminal: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None], value: Any
) -> None:
    store({"a": value})
    shown = plain(terminal("get", "a").out)
    assert "\\u001b[2J\\u0007 \\u202e\\u009b" in shown
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown)


def test_a_large_value(
    tetherdb: Callable[..., Ran],
    terminal: Callable[..., Ran],
    store: Callable[[Mapping[str, Any]], None],
) -> None:
    text = "0123456789" * 500_000
    store({"text": text, "object": {"it": text}})
    assert tetherdb("get", "text").out == text + "\n"
    # Without colours: nobody waits for those.
    assert terminal("get", "object").out == f'{{\n  "it": "{text}"\n}}\n'
