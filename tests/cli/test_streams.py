"""Streams that are closed, full or read by nobody, and languages that are not UTF-8."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import COMMAND, Ran, clean_environment, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What prints a result.
PRINTING = [
    "list",
    "list --values",
    "list --json",
    "get n:0",
    "ping",
    "stats",
    "config schema",
    "completion bash",
]


@pytest.fixture(autouse=True)
def stored(store: Callable[[Mapping[str, Any]], None]) -> None:
    store({f"n:{number}": "x" * 100 for number in range(20_000)})


def test_a_reader_that_has_had_enough(shell: Callable[..., Ran]) -> None:
    for command in ("list", "list --values", "list --json"):
        ended = shell(f"tetherdb {command} | head -n 1")
        assert ended.err == ""
        assert ended.code == 141
        assert ended.out.count("\n") == 1
    ended = shell("tetherdb get n:0 | true")
    assert ended.err == ""
    assert ended.code in (0, 141)


@pytest.mark.parametrize("command", PRINTING)
def test_closed_output(shell: Callable[..., Ran], command: str) -> None:
    ended = shell(f"tetherdb {command} >&-")
    assert ended.out == ""
    assert (ended.code, ended.err) == (
        3,
        "tetherdb: the result cannot be written: standard output is closed\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("command", PRINTING)
def test_a_full_disk(shell: Callable[..., Ran], command: str) -> None:
    ended = shell(f"tetherdb {command} > /dev/full")
    assert (ended.code, ended.err) == (
        3,
        "tetherdb: the result cannot be written: No space left on device\n",
    )


def test_closed_input(shell: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = shell("tetherdb put new <&-")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == ("tetherdb: standard input is closed. Give the value as an argument, or pipe it in\n")
    assert "new" not in content()
    assert shell("tetherdb put new value <&-") == Ran(0, "", "")
    assert shell("tetherdb delete --all --bucket n <&-").code == 2


def test_closed_errors(shell: Callable[..., Ran]) -> None:
    assert shell("tetherdb get nobody 2>&-").code == 1
    assert shell("tetherdb get n:0 --verbose 2>&-").out == "x" * 100 + "\n"
    assert shell("tetherdb nothing 2>&-") == Ran(2, "", "")
    assert shell("tetherdb 2>&-") == Ran(2, "", "")
    assert shell("tetherdb get nobody 2>/dev/full").code == 1


def test_all_are_closed(shell: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    # The file must not become one of them.
    assert shell("tetherdb put new value <&- >&- 2>&-").code == 0
    assert shell("tetherdb get nobody <&- >&- 2>&-").code == 1
    assert content()["new"] == "value"


def test_errors_that_nobody_reads(shell: Callable[..., Ran]) -> None:
    assert shell("{ tetherdb get nobody; echo $? >&3; } 3>&1 2> >(true)").out == "1\n"


def test_what_was_found_comes_before_what_went_wrong(shell: Callable[..., Ran]) -> None:
    ended = shell("tetherdb get n:0 nobody n:1 2>&1")
    assert ended.code == 1
    assert sorted(ended.out.splitlines())[-2:] == ["x" * 100] * 2


def test_a_folder_that_was_deleted(shell: Callable[..., Ran], tmp_path: Path) -> None:
    before = f"mkdir gone && cd gone && rmdir {tmp_path}/gone && "
    assert shell(before + "tetherdb --version").code == 0
    assert shell(before + f"tetherdb get n:0 --file {tmp_path}/localdb").out == "x" * 100 + "\n"
    for command in ("put a 1", "get a", "list", "stats --json", "config check", "journal show --journal j"):
        ended = shell(before + f"tetherdb {command}")
        assert "Traceback" not in ended.err
        assert "bug of TetherDB" not in ended.err
        # The shell has something to say of it, too.
        assert ended.err.count("tetherdb: ") <= 1
    assert shell(before + "tetherdb put a 1").code == 3


# Where Python neither coerces the language to UTF-8 nor ignores it.
PLAIN_C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
TEXT = "\u00e4\u20ac\U0001f600"


@pytest.mark.parametrize("language", [{"LC_ALL": "C"}, PLAIN_C], ids=["C", "C alone"])
def test_pipes_are_utf_8_in_any_language(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]], language: dict[str, str]
) -> None:
    assert tetherdb("put", TEXT.encode(), TEXT.encode(), **language) == Ran(0, "", "")
    assert tetherdb("put", "piped", stdin=TEXT, **language) == Ran(0, "", "")
    assert content()[TEXT] == content()["piped"] == TEXT
    assert tetherdb("get", TEXT.encode(), **language).out == f"{TEXT}\n"
    assert f"\n{TEXT}\n" in tetherdb("list", **language).out
    assert TEXT in tetherdb("get", f"{TEXT}2".encode(), **language).err
    ended = tetherdb("get", b"a\xff", **language)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("tetherdb: the key is not UTF-8: byte 1 is 0xff.")


def test_a_terminal_that_cannot_show_it_gets_escapes(
    terminal: Callable[..., Ran], tetherdb: Callable[..., Ran]
) -> None:
    tetherdb("put", "a", '{"it": "\u20ac"}')
    tetherdb("put", "t", "\u20ac")
    for command in (
        ["get", "a"],
        ["get", "t"],
        ["get", "a", "--json"],
        ["list", "--values", "--prefix", "t"],
    ):
        shown = plain(terminal(*command, PYTHONIOENCODING="latin-1").out)
        assert "\\u20ac" in shown, command


@pytest.fixture
def latin(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose language is in ISO 8859-1."""
    made = tmp_path / "locales" / "de_DE.ISO-8859-1"
    made.parent.mkdir()
    program = shutil.which("localedef")
    if program is None:
        pytest.skip("the system cannot make a locale")
    command = [program, "-c", "-f", "ISO-8859-1", "-i", "de_DE", str(made)]
    subprocess.run(command, capture_output=True, check=False)
    if not made.exists():
        pytest.skip("the system has no sources of locales")
    return {"LOCPATH": str(made.parent), "LC_ALL": made.name, "PYTHONUTF8": "0"}


def test_a_latin_1_language(
    tmp_path: Path, latin: dict[str, str], content: Callable[[], dict[str, Any]]
) -> None:
    def run(*arguments: bytes) -> subprocess.CompletedProcess[bytes]:
        environment = clean_environment() | latin
        command: list[str | bytes] = [*COMMAND, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)

    # What is typed is in the language; what is stored and piped is UTF-8.
    assert run(b"put", b"gr\xfcn", b"\xe4").returncode == 0
    assert content()["gr\u00fcn"] == "\u00e4"
    assert run(b"get", b"gr\xfcn").stdout == "\u00e4\n".encode()
