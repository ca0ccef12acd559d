"""Keys that a shell, a terminal or a parser could take for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .conftest import Ran, plain

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = {
    "newline": "a\nb\n",
    "escape": "\x1b]0;title\x07\x1b[2J",
    "markup": "[red]a[/red] [link=x]",
    "dash": "-",
    "option": "--help",
    "colon": ":a:b:",
    "quotes": "\"a' `b` $(c)",
    "unicode": "\u00e4\u4e2d\U0001f600e\u0301",
    "space": "  a  ",
    "percent": "%s %(a)s {0} {a}",
    "long": "k" * 5_000,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_verb_takes_it(tetherdb: Callable[..., Ran], key: str) -> None:
    for bucket in ([], ["--bucket", key]):
        assert tetherdb("put", *bucket, "--", key, key) == Ran(0, "", "")
        assert tetherdb("update", *bucket, "--", key, f"{key}2") == Ran(0, "", "")
        assert tetherdb("get", *bucket, "--", key) == Ran(0, f"{key}2\n", "")
        assert tetherdb("get", "--json", *bucket, "--", key).records == [{"key": key, "value": f"{key}2"}]
        assert {"key": key} in tetherdb("list", "--json", *bucket).records
        listed = tetherdb("list", *bucket)
        assert listed.code == 0
        assert not {"\x1b", "\x07"} & set(listed.out)
        assert len(listed.out.split("\n")) == 2
        assert tetherdb("delete", *bucket, "--", key) == Ran(0, "", "")
        missing = tetherdb("get", *bucket, "--", key)
        assert (missing.code, missing.out) == (1, "")
        assert missing.err.count("\n") == 1
        assert not {"\x1b", "\x07"} & set(missing.err)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_terminal_is_not_steered_by_it(
    tetherdb: Callable[..., Ran], terminal: Callable[..., Ran], key: str
) -> None:
    tetherdb("put", "--", key, key)
    for command in (["list"], ["list", "--values"], ["stats", "--count"], ["get", "--", key, "nobody"]):
        shown = plain(terminal(*command).out)
        assert not {"\x1b", "\x07", "\r"} & set(shown), command
        if key == KEYS["markup"] and command[0] != "stats":
            assert key in shown
