"""`tetherdb list`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import clean_environment, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Ran


def test_keys(tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]) -> None:
    store({"users:b": "1", "users:a": {"n": 2}, "x": "3"})
    assert tetherdb("list").out == "users:a\nusers:b\nx\n"
    assert tetherdb("list", "--bucket", "users").out == "a\nb\n"
    assert tetherdb("list", "--bucket", "users", "--json").records == [{"key": "a"}, {"key": "b"}]


def test_values(tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]) -> None:
    store({"a": {"n": 1}, "b": "two\nlines\tand \u00e4", "c": ""})
    assert tetherdb("list", "--values").out == 'a\t{"n": 1}\nb\ttwo\\nlines\\tand \u00e4\nc\t\n'
    assert tetherdb("list", "--values", "--json").records == [
        {"key": "a", "value": {"n": 1}},
        {"key": "b", "value": "two\nlines\tand \u00e4"},
        {"key": "c", "value": ""},
    ]


def test_what_would_break_a_line_is_escaped(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    keys = [
        "a\nb\r\t",
        "b\x1b[31m\x07\x7f\x85",
        "c\u2028\u202e",
        "d\u00e4\u00a0\u3000\U0001f468\u200d\U0001f469",
    ]
    store(dict.fromkeys(keys, "x"))
    ended = tetherdb("list")
    assert ended.out == (
        "a\\nb\\r\\t\nb\\u001b[31m\\u0007\\u007f\\u0085\nc\\u2028\\u202e\n"
        "d\u00e4\u00a0\u3000\U0001f468\u200d\U0001f469\n"
    )
    assert [record["key"] for record in tetherdb("list", "--json").records] == keys


def test_limits_and_markers(tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]) -> None:
    store({f"n:{number:04}": str(number) for number in range(2_345)})

    def listed(*arguments: str) -> list[str]:
        lines = tetherdb("list", "--bucket", "n", *arguments).out.splitlines()
        # Values are the numbers that the keys are.
        assert all(int(line.partition("\t")[2]) == int(line[:4]) for line in lines if "\t" in line)
        return [line.partition("\t")[0] for line in lines]

    everything = [f"{number:04}" for number in range(2_345)]
    for more in ([], ["--values"]):
        assert listed(*more) == everything
        for limit in (0, 1, 15, 16, 17, 1000, 1001, 9999):
            assert listed("--limit", str(limit), *more) == everything[:limit]
        assert listed("--start-after", "0041", "--limit", "2", *more) == ["0042", "0043"]
        assert listed("--start-after", "2344", *more) == []
        # What does not exist is a place, too.
        assert listed("--start-after", "00419", "--limit", "1", *more) == ["0042"]


def test_prefixes(tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]) -> None:
    keys = ["a", "ab", "ab\uffff", "abc", "ab\U0001f600", "ac", "b"] + [f"many{n:04}" for n in range(1_200)]
    store({f"n:{key}": "x" for key in keys})

    def listed(*arguments: str) -> list[str]:
        records = tetherdb("list", "--json", "--bucket", "n", *arguments).records
        return [record["key"] for record in records]

    for prefix in ("a", "ab", "ab\uffff", "abc", "b", "c", "many", "many0", "many1199"):
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert listed("--prefix", prefix) == expected, prefix
        assert listed("--prefix", prefix, "--limit", "2") == expected[:2]
        assert listed("--prefix", prefix, "--values") == expected
        for after in ("a", "ab", "abc", "many1198", "z"):
            later = [key for key in expected if key > after]
            assert listed("--prefix", prefix, "--start-after", after) == later, (prefix, after)


def test_without_a_file_it_says_so(tetherdb: Callable[..., Ran], tmp_path: Path) -> None:
    ended = tetherdb("list")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == ("tetherdb: the file localdb does not exist: nothing has been written to it yet\n")
    assert tetherdb("list", "--quiet").err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["-1", "x", "1.5"])
def test_a_wrong_limit(tetherdb: Callable[..., Ran], limit: str) -> None:
    ended = tetherdb("list", "--limit", limit)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tetherdb: Invalid value for '--limit': ")
    assert ended.err.count("\n") == 1


def test_a_terminal_shows_keys_one_a_line(
    terminal: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"[red]a\x1b[2J": "1", "k" * 200: "2"})
    assert terminal("list").out == f"[red]a\\u001b[2J\n{'k' * 200}\n"


def test_a_terminal_shows_a_table_of_values(
    terminal: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"[red]a\x1b[2J": {"text": "[bold]b"}, "b": "long " * 100} | {f"n{n:03}": "x" for n in range(50)})
    lines = plain(terminal("list", "--values").out).splitlines()
    assert lines[0].split() == ["key", "value"]
    assert lines[1].rstrip().split(maxsplit=1) == ["[red]a\\u001b[2J", '{"text": "[bold]b"}']
    assert lines[2].rstrip().endswith("\u2026")
    # The head is there once, whatever the number of pages.
    assert len(lines) == 1 + 2 + 50
    assert all(len(line) <= 100 for line in lines)


def test_memory_does_not_grow_with_the_records(
    tmp_path: Path, store: Callable[[Mapping[str, Any]], None]
) -> None:
    """40 MB of values, and 100 000 records."""
    store({f"large:{number}": "x" * 1_000_000 for number in range(40)})
    store({f"small:{number:06}": "x" * 50 for number in range(100_000)})
    program = (
        "import resource, sys\n"
        "from TetherDB.cli.app import run\n"
        "def used(bucket):\n"
        "    assert run(['list', '--values', '--bucket', bucket]) == 0\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "first = used('none')\n"
        "print(used('small') - first, used('large') - first, file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        timeout=60,
        check=True,
    )
    # In KiB, but in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    small, large = (int(number) * unit for number in ended.stderr.split())
    assert small < 10_000_000
    # A page of the first few, whose size nobody knows beforehand.
    assert large < 20_000_000
