"""`tetherdb config`, and what every command says of a configuration that is wrong."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from .conftest import Ran

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROBLEMS = [
    "locl: unknown key. Did you mean 'local'?",
    "etcd.port: expected an integer from 1 to 65535, got a string.",
    "queue_batch.size: expected an integer from 1 to 4294967295, got -1.",
]


@pytest.fixture
def wrong(configured: Callable[..., Path]) -> Path:
    return configured(locl={}, etcd={"port": "x"}, queue_batch={"size": -1})


def test_check_names_every_problem(tetherdb: Callable[..., Ran], wrong: Path) -> None:
    lines = [f"tetherdb: {wrong}: {problem}\n" for problem in PROBLEMS]
    for arguments in ([wrong], ["--config", wrong]):
        assert tetherdb("config", "check", *arguments) == Ran(2, "", "".join(lines))
    assert tetherdb("config", "check", TETHERDB_CONFIG=str(wrong)).err == "".join(lines)
    ended = tetherdb("config", "check", wrong, "--json")
    assert (ended.code, ended.err) == (2, "")
    assert ended.records == [{"file": str(wrong), "problems": PROBLEMS}]


def test_check_says_what_it_found(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], tmp_path: Path
) -> None:
    path = configured(
        local={"filepath": "shop"},
        etcd={},
        dynamodb={"table_name": "t"},
        queue_batch={"journal": "shop.journal"},
    )
    journal = tmp_path / "shop.journal"
    ended = tetherdb("config", "check", path)
    assert ended == Ran(
        0,
        f"{path}: no problem\nbackends: local, dynamodb, etcd\nlocal file: shop\njournal: {journal}\n",
        "",
    )
    assert tetherdb("config", "check", path, "--json").records == [
        {
            "file": str(path),
            "problems": [],
            "local": "shop",
            "backends": ["local", "dynamodb", "etcd"],
            "journal": str(journal),
        }
    ]
    assert tetherdb("config", "check").out.startswith("the defaults: no problem\nbackends: local\n")
    # Nothing was opened.
    assert list(tmp_path.iterdir()) == [path]


def test_schema(tetherdb: Callable[..., Ran]) -> None:
    import TetherDB

    packaged = os.path.join(os.path.dirname(TetherDB.__file__), "config.schema.json")  # noqa: PTH118, PTH120
    with open(packaged, encoding="utf-8") as file:  # noqa: PTH123
        assert json.loads(tetherdb("config", "schema").out) == json.load(file)


def test_show_hides_secrets(tetherdb: Callable[..., Ran], configured: Callable[..., Path]) -> None:
    path = configured(local={"filepath": "shop"}, etcd={"username": "u", "password": "hush"})
    ended = tetherdb("config", "show", "--config", path, "--file", "other")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {
        "local": {"filepath": "other"},
        "etcd": {"username": "u", "password": "***"},
    }
    assert "hush" not in ended.out
    assert tetherdb("config", "show", "--json").records == [{}]
    path = configured(etcd={"username": "u", "password": "${SHOP_PASSWORD}"})
    ended = tetherdb("config", "show", "--config", path, SHOP_PASSWORD="hush")
    assert json.loads(ended.out)["etcd"]["password"] == "${SHOP_PASSWORD}"


COMMANDS = [
    ["get", "a"],
    ["put", "a", "1"],
    ["update", "a", "1"],
    ["delete", "a"],
    ["delete", "--all", "--everything", "--yes"],
    ["list"],
    ["ping"],
    ["stats"],
    ["journal", "show"],
    ["journal", "retry"],
    ["journal", "drop"],
    ["config", "show"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_names_every_problem_in_one_line(
    tetherdb: Callable[..., Ran], wrong: Path, command: list[str], tmp_path: Path
) -> None:
    ended = tetherdb(*command, "--config", wrong)
    assert ended == Ran(2, "", f"tetherdb: {wrong}: {'; '.join(PROBLEMS)}\n")
    assert list(tmp_path.iterdir()) == [wrong]


@pytest.mark.parametrize("command", [["list"], ["config", "check"], ["config", "show"]], ids=" ".join)
def test_a_file_that_cannot_be_read(tetherdb: Callable[..., Ran], tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "broken.json").write_text('{"local": {,}}')
    (tmp_path / "latin.json").write_bytes(b'{"local": {"filepath": "\xe4"}}')
    (tmp_path / "list.json").write_text("[]")
    for name, says in {
        "none.json": "cannot read the configuration file none.json: No such file or directory",
        ".": "cannot read the configuration file .: Is a directory",
        "broken.json": "broken.json is not valid JSON: expected a key in double quotes at line 1 column 12.",
        "latin.json": "latin.json",
        "list.json": "list.json",
    }.items():
        ended = tetherdb(*command, "--config", name)
        assert (ended.code, ended.out) == (2, ""), ended
        assert says in ended.err
        assert ended.err.count("\n") == 1


def test_the_environment_names_the_file_unless_an_option_does(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], wrong: Path, tmp_path: Path
) -> None:
    wrong.rename(tmp_path / "wrong.json")
    right = configured(local={"filepath": "shop"})
    tetherdb("put", "a", "1", TETHERDB_CONFIG=str(right))
    assert (tmp_path / "shop").exists()
    assert tetherdb("get", "a", "--config", right, TETHERDB_CONFIG="wrong.json").out == "1\n"
    assert tetherdb("get", "a", TETHERDB_CONFIG="wrong.json").code == 2
    assert tetherdb("get", "a", TETHERDB_CONFIG="").code == 1
