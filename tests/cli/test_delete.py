"""`tetherdb delete`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Ran, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RECORDS = {"users:a": "1", "users:b": "2", "users2:c": "3", "d": "4"}


@pytest.fixture(autouse=True)
def stored(store: Callable[[Mapping[str, Any]], None]) -> None:
    store(RECORDS)


def test_named_keys(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = tetherdb("delete", "a", "b", "a", "--bucket", "users")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert set(content()) == {"users2:c", "d"}


def test_a_missing_key_is_named_and_the_others_are_deleted(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]
) -> None:
    ended = tetherdb("delete", "d", "nobody", "users:a")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == 'tetherdb: "nobody" does not exist in the file localdb\n'
    assert set(content()) == {"users:b", "users2:c"}


def test_json(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("delete", "d", "d2", "--json")
    assert ended.records == [{"key": "d", "deleted": True}, {"key": "d2", "deleted": False}]
    assert ended.code == 1


def test_a_dry_run_of_keys(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = tetherdb("delete", "d", "nobody", "--dry-run")
    assert (ended.code, ended.out) == (1, "would delete d\n")
    assert ended.err == 'tetherdb: "nobody" does not exist in the file localdb\n'
    assert tetherdb("delete", "d", "--dry-run", "--json").records == [{"key": "d", "would_delete": True}]
    assert content() == RECORDS


def test_a_bucket(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = tetherdb("delete", "--all", "--bucket", "users", "--yes")
    assert ended == Ran(0, '2 records of bucket "users" of the file localdb deleted\n', "")
    assert set(content()) == {"users2:c", "d"}
    assert tetherdb("delete", "--all", "--bucket", "users", "--yes", "--json").records == [{"records": 0}]


def test_everything(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    assert tetherdb("delete", "--all", "--everything", "--yes").code == 0
    assert content() == {}


def test_a_dry_run_counts(tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]) -> None:
    ended = tetherdb("delete", "--all", "--bucket", "users", "--dry-run")
    assert ended == Ran(0, '2 records would be deleted from bucket "users" of the file localdb\n', "")
    assert tetherdb("delete", "--all", "--everything", "--dry-run", "--json").records == [{"records": 4}]
    assert content() == RECORDS


def test_nobody_is_asked_where_nobody_is(
    tetherdb: Callable[..., Ran], content: Callable[[], dict[str, Any]]
) -> None:
    ended = tetherdb("delete", "--all", "--bucket", "users", stdin="y\n")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        'tetherdb: Delete all records of bucket "users" of the file localdb? Nobody is here to ask: give '
        "--yes to do it, or --dry-run to see what it would do\n"
    )
    assert content() == RECORDS


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 2), ("n\n", 130, 4), ("\n", 130, 4)])
def test_a_terminal_is_asked(
    terminal: Callable[..., Ran], content: Callable[[], dict[str, Any]], answer: str, code: int, left: int
) -> None:
    ended = terminal("delete", "--all", "--bucket", "users", typed=answer, when="[y/N]")
    assert ended.code == code
    assert 'Delete all records of bucket "users" of the file localdb? [y/N]:' in plain(ended.out)
    assert ("nothing was done" in ended.out) == (code != 0)
    assert len(content()) == left


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no key is given. Give keys, or --all with a bucket"),
        (["--all"], "--all needs a bucket: give --bucket NAME, or --everything to delete all records of"),
        (["--all", "--yes", "--bucket", ""], "--all needs a bucket"),
        (["d", "--all", "--bucket", "users"], "give either keys or --all"),
        (["d", "--everything"], "--everything is for --all without a bucket"),
        (["--all", "--everything", "--bucket", "users"], "--everything is for --all without a bucket"),
    ],
)
def test_what_is_unclear_is_refused(
    tetherdb: Callable[..., Ran],
    content: Callable[[], dict[str, Any]],
    arguments: list[str],
    says: str,
) -> None:
    ended = tetherdb("delete", "--yes", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"tetherdb: {says}")
    assert content() == RECORDS


def test_more_than_one_page(
    tetherdb: Callable[..., Ran],
    store: Callable[[Mapping[str, Any]], None],
    content: Callable[[], dict[str, Any]],
) -> None:
    store({f"many:{number}": "x" for number in range(2_500)})
    ended = tetherdb("delete", "--all", "--bucket", "many", "--yes")
    assert ended.out == '2500 records of bucket "many" of the file localdb deleted\n'
    assert content() == RECORDS
