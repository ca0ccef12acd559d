"""Where the file lies, what it is called, and with which permissions."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def names(folder: Path) -> set[str]:
    """What is in a folder, but for SQLite's own companions of an open file."""
    return {entry.name for entry in folder.iterdir() if not entry.name.endswith(("-wal", "-shm"))}


def check(db: DB) -> None:
    """Everything arrives in the one file that the handle has."""
    with db:
        assert db.write_message("direct", "text")
        assert db.write_queue_message("queued", "text")
        db.flush()
        assert db.read_message("direct") == "text"
        assert db.list_keys()["keys"] == ["direct", "queued"]


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    """Sets the umask for the time of the test."""
    old = os.umask(0o022)

    def change(mask: int) -> None:
        os.umask(mask)

    yield change
    os.umask(old)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
@pytest.mark.parametrize(
    ("mode", "mask", "expected"),
    [
        (None, 0o022, 0o644),
        (None, 0o000, 0o666),
        (None, 0o077, 0o600),
        (None, 0o027, 0o640),
        ("0600", 0o022, 0o600),
        ("0660", 0o002, 0o660),
        ("0666", 0o022, 0o644),
        ("0640", 0o077, 0o600),
    ],
)
def test_a_new_file_has_the_mode_less_the_umask(
    path: Path, umask: Callable[[int], None], mode: str | None, mask: int, expected: int
) -> None:
    umask(mask)
    local = {"filepath": str(path)} if mode is None else {"filepath": str(path), "mode": mode}
    with DB({"local": local}) as db:
        db.write_message("key", "value")
        assert db.read_message("key") == "value"
        # The companions must not be readable for more than the file is, nor for fewer who may write it.
        assert {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()} == {expected}
    assert stat.S_IMODE(path.stat().st_mode) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
def test_the_mode_of_a_file_that_is_there_stays(path: Path) -> None:
    for mode in (0o600, 0o664):
        path.touch()
        path.chmod(mode)
        with DB({"local": {"filepath": str(path), "mode": "0644"}}) as db:
            db.write_message("key", "value")
        assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("exists", [True, False])
def test_a_symlink_leads_to_the_file(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    target, link = tmp_path / "real" / "store", tmp_path / "links" / "link"
    link.symlink_to(target)
    if exists:
        with DB({"local": {"filepath": str(target)}}) as db:
            db.write_message("before", "text")
    with (
        DB({"local": {"filepath": str(link)}}) as through_link,
        DB({"local": {"filepath": str(target)}}) as straight,
    ):
        assert through_link.write_message("link", "text")
        # Both have one write-ahead log, that beside the file itself.
        assert straight.read_message("link") == "text"
        assert straight.write_message("straight", "text")
        assert through_link.read_message("straight") == "text"
        through_link.flush()
        assert names(tmp_path / "links") == {"link"}
        assert list((tmp_path / "links").iterdir()) == [link]
    assert link.is_symlink()
    assert names(tmp_path / "real") == {"store"}
    with DB({"local": {"filepath": str(target)}}) as db:
        keys = ["before", "link", "straight"] if exists else ["link", "straight"]
        assert db.list_keys()["keys"] == keys


def test_a_symlink_in_the_folders_above(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    check(DB({"local": {"filepath": str(tmp_path / "link" / "store")}}))
    assert names(tmp_path / "real") == {"store"}


def test_symlinks_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    db = DB({"local": {"filepath": str(tmp_path / "a")}})
    for verb in (lambda: db.write_message("key", "value"), lambda: db.read_message("key")):
        with pytest.raises(BackendError, match="symbolic links"):
            verb()
    assert names(tmp_path) == {"a", "b"}


@pytest.mark.parametrize("filepath", ["store", "./store", "sub/store", "sub/../store", "sub/../sub/./store"])
def test_a_relative_path_is_that_of_the_folder_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filepath: str
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "sub").mkdir(parents=True)
    monkeypatch.chdir(here)
    db = DB({"local": {"filepath": filepath}})
    monkeypatch.chdir(there)
    check(db)
    assert names(there) == {"sub"}
    assert names(there / "sub") == set()
    assert (here / filepath).is_file()
    with DB({"local": {"filepath": str(here / filepath)}}) as absolute:
        assert absolute.list_keys()["keys"] == ["direct", "queued"]


def test_the_default_is_localdb_in_the_folder_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    db = DB()
    monkeypatch.chdir(tmp_path / "there")
    check(db)
    assert names(tmp_path / "here") == {"localdb"}
    assert names(tmp_path / "there") == set()


NAMES = [
    "file:store",
    "file:store?mode=ro",
    "file:///store",
    "?",
    "?mode=memory",
    "store?mode=ro&cache=shared",
    ":memory:",
    "#store",
    "store#fragment",
    "%41%20store",
    "with space",
    " leading",
    "ключ-🗝",
    "'quoted\"`",
    "-dash",
    "~",
    "~store",
    "$HOME",
    "new\nline",
    "back\\slash",
    "store-wal",
    "store.db",
    "a" * 240,
]


@pytest.mark.skipif(sys.platform == "win32", reason="many of these are no names there")
@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("name", NAMES, ids=[ascii(name[:20]) for name in NAMES])
def test_any_name_is_just_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    expected = tmp_path / name
    check(DB({"local": {"filepath": name if relative else str(expected)}}))
    files = {entry for entry in tmp_path.rglob("*") if entry.is_file()}
    assert files == {expected}
    with closing(sqlite3.connect(f"{expected.as_uri()}?mode=ro", uri=True)) as sqlite:
        assert sqlite.execute("SELECT count(*) FROM Dict").fetchone() == (2,)


def test_a_path_object_of_the_config_file_and_of_the_store(tmp_path: Path) -> None:
    check(DB({"local": {"filepath": tmp_path / "store"}}))
    assert names(tmp_path) == {"store"}


@pytest.mark.parametrize("filepath", ["", "nul\x00inside"])
def test_what_can_be_no_path_is_refused_at_opening(filepath: str) -> None:
    with pytest.raises(ConfigError, match=r"local\.filepath"):
        DB({"local": {"filepath": filepath}})
