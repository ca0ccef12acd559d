"""Options before and behind the command, help, and commands that do not exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import TetherDB
from TetherDB.cli.app import COMMANDS

from .conftest import Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def test_options_stand_before_or_behind_the_command_and_the_latter_win(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None]
) -> None:
    store({"users:a": "1", "shops:a": "2"})
    for arguments in (
        ["--bucket", "users", "get", "a"],
        ["get", "--bucket", "users", "a"],
        ["get", "a", "--bucket=users"],
        ["--bucket", "shops", "get", "a", "--bucket", "users"],
    ):
        assert tetherdb(*arguments) == Ran(0, "1\n", "")
    for arguments in (
        ["--json", "-f", "localdb", "get", "shops:a"],
        ["get", "shops:a", "-f", "localdb", "--json"],
    ):
        assert tetherdb(*arguments).records == [{"key": "shops:a", "value": "2"}]


def test_version(tetherdb: Callable[..., Ran]) -> None:
    assert tetherdb("--version") == Ran(0, f"tetherdb {TetherDB.__version__}\n", "")


def test_without_a_command_it_is_the_help(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb()
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == tetherdb("--help").out == tetherdb("-h").out
    for group in ("journal", "config"):
        ended = tetherdb(group)
        assert (ended.code, ended.out, ended.err) == (2, "", tetherdb(group, "-h").out)


def test_the_help_names_every_command_with_a_whole_sentence(tetherdb: Callable[..., Ran]) -> None:
    listed = tetherdb("--help").out.partition("Commands:\n")[2]
    lines = re.findall(r"^  (\w+)  +(.*)$", listed, re.MULTILINE)
    assert [name for name, _ in lines] == list(COMMANDS)
    for name, sentence in lines:
        assert sentence.endswith("."), name
        assert not sentence.endswith("..."), name
        ended = tetherdb(name, "--help")
        assert ended.code == 0
        assert ended.out.startswith(f"Usage: tetherdb {name} ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pin"], "No such command 'pin'. Did you mean 'ping'? See: tetherdb --help"),
        (["lst"], "No such command 'lst'. Did you mean 'list'? See: tetherdb --help"),
        (["xyzzy"], "No such command 'xyzzy'. See: tetherdb --help"),
        (["journal", "shw"], "No such command 'shw'. Did you mean 'show'? See: tetherdb journal --help"),
        (["get"], "Missing argument 'KEY...'. See: tetherdb get --help"),
        (["put"], "Missing argument 'KEY'. See: tetherdb put --help"),
        (["ping", "--bucket", "x"], "No such option '--bucket'"),
        (["get", "a", "--bukket", "x"], "No such option '--bukket'. Did you mean '--bucket'?"),
        (["get", "a", "-b", "redis"], "Invalid value for '--backend' / '-b': 'redis' is not one of"),
        (["list", "x"], "Got unexpected extra argument (x). See: tetherdb list --help"),
        (["put", "a", "b", "c"], "Got unexpected extra argument (c). See: tetherdb put --help"),
    ],
)
def test_mistakes_are_one_line(tetherdb: Callable[..., Ran], arguments: list[str], says: str) -> None:
    ended = tetherdb(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tetherdb: {says}")
    assert ended.err.count("\n") == 1


def test_what_begins_with_a_dash_stands_behind_two(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]
) -> None:
    ended = tetherdb("put", "-key", "-5")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tetherdb: No such option '-k'. See: tetherdb put --help. "
        "(A key or value that begins with - stands behind --)\n"
    )
    assert tetherdb("put", "--bucket", "b", "--", "-key", "-5") == Ran(0, "", "")
    assert content() == {"b:-key": "-5"}
    assert tetherdb("get", "--", "b:-key").out == "-5\n"
    assert tetherdb("delete", "--bucket", "b", "--", "-key").code == 0


def test_quiet_and_verbose(tetherdb: Callable[..., Ran]) -> None:
    assert "debug: Local backend initialized at: localdb\n" in tetherdb("put", "a", "1", "--verbose").err
    assert tetherdb("-v", "get", "a").out == "1\n"
    ended = tetherdb("get", "a", "--backend", "etcd", "--verbose")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "Traceback" not in tetherdb("get", "a", "--backend", "etcd").err
