"""A path that cannot be a journal: a ConfigError of `DB(...)` says what to do, and nothing was touched."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, ConfigError

from .support import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What tells its reader what to do.
ADVICE = ("name another path", "name a file", "create its folder", "check the permissions", "update tetherdb")


def refused(open_journal: Callable[..., DB], at: Path | str) -> str:
    """What is said of a path."""
    with pytest.raises(ConfigError) as caught:
        open_journal(queue_batch={"journal": f"{at}"})
    text = str(caught.value)
    assert text.startswith("queue_batch.journal: "), text
    assert f"{at}" in text, text
    assert any(advice in text.lower() for advice in ADVICE), text
    return text


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that can be seen of the files in a folder."""
    found: dict[str, tuple[int, int, bytes]] = {}
    for entry in folder.iterdir():
        content = entry.read_bytes() if entry.is_file() else b""
        found[entry.name] = (entry.stat().st_mode, entry.stat().st_mtime_ns, content)
    return found


def header(journal: Path, open_journal: Callable[..., DB]) -> bytearray:
    """The header of a sound journal."""
    open_journal().stop()
    content = bytearray(journal.read_bytes())
    assert len(content) == EMPTY
    assert content.startswith(b"TetherDB journal")
    return content


def test_a_directory(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    (tmp_path / "folder").mkdir()
    before = snapshot(tmp_path)
    assert "directory" in refused(open_journal, tmp_path / "folder")
    assert snapshot(tmp_path) == before


def test_a_missing_folder(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    assert "Create its folder" in refused(open_journal, tmp_path / "missing" / "journal")
    assert snapshot(tmp_path) == {}


def test_a_file_in_the_place_of_its_folder(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    (tmp_path / "file").write_text("text")
    before = snapshot(tmp_path)
    refused(open_journal, tmp_path / "file" / "journal")
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there is no FIFO here")
@pytest.mark.timeout(30)
def test_a_fifo_and_a_device_hang_nobody(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = snapshot(tmp_path)
    assert "no regular file" in refused(open_journal, tmp_path / "fifo")
    assert "no regular file" in refused(open_journal, "/dev/null")
    assert snapshot(tmp_path) == before


def test_a_dangling_link_and_a_loop_of_links(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    (tmp_path / "dangling").symlink_to("missing/journal")
    (tmp_path / "loop").symlink_to("loop")
    refused(open_journal, tmp_path / "dangling")
    refused(open_journal, tmp_path / "loop")


@pytest.mark.parametrize(
    "content",
    [
        b"SQLite format 3\0",
        b"hello, I am a text\n",
        b"Tethers\n",
        b"TetherDB journal: a note\n",
        b"\0" * 4096,
        b"TetherDB journaL" + b"\0" * 100,
    ],
    ids=["sqlite", "text", "short-text", "note", "zeros", "nearly"],
)
def test_a_file_of_another_program(
    journal: Path, tmp_path: Path, open_journal: Callable[..., DB], content: bytes
) -> None:
    if content.startswith(b"SQLite"):
        with closing(sqlite3.connect(journal)) as connection:
            connection.execute("CREATE TABLE t (a)")
    else:
        journal.write_bytes(content)
    before = snapshot(tmp_path)
    assert "file of another program" in refused(open_journal, journal)
    assert snapshot(tmp_path) == before


def test_a_newer_format(journal: Path, tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    content = header(journal, open_journal)
    content[16:20] = (2).to_bytes(4, "little")
    content[24:28] = zlib.crc32(content[:24]).to_bytes(4, "little")
    journal.write_bytes(content + b"whatever a newer one may hold")
    before = snapshot(tmp_path)
    text = refused(open_journal, journal)
    assert "format 2" in text
    assert "Update TetherDB" in text
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("at", [16, 20, 23, 24, 27])
def test_a_damaged_header(journal: Path, tmp_path: Path, open_journal: Callable[..., DB], at: int) -> None:
    content = header(journal, open_journal)
    content[at] ^= 0x10
    journal.write_bytes(content)
    before = snapshot(tmp_path)
    assert "damaged" in refused(open_journal, journal)
    assert snapshot(tmp_path) == before


def test_the_local_file_itself(path: Path, tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    other = f"{path.parent}/./{path.name}"
    for spelled in (f"{path}", other):
        with pytest.raises(
            ConfigError, match=r"^queue_batch\.journal: is the file of local.filepath too\. Name a"
        ):
            open_journal(queue_batch={"journal": spelled})
        assert snapshot(tmp_path) == {}
    with DB({"local": {"filepath": f"{path}"}}) as db:
        db.write_message("k", "v")
    before = snapshot(tmp_path)
    # By other names of it, which only the file system knows.
    link = tmp_path / "link"
    link.symlink_to(path.name)
    refused(open_journal, link)
    link.unlink()
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("bad", ["", "a\0b", 7, True, ["journal"], {}])
def test_what_is_no_path(path: Path, bad: object) -> None:
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal: expected") as caught:
        DB({"local": {"filepath": f"{path}"}, "queue_batch": {"journal": bad}})
    assert "string" in str(caught.value)


def test_null_is_no_journal(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^queue_batch\.journal: "):
        DB({"local": {"filepath": f"{path}"}, "queue_batch": {"journal": None}})
    assert snapshot(tmp_path) == {}


def test_another_error_of_the_configuration_leaves_no_journal(path: Path, tmp_path: Path) -> None:
    queue = {"journal": f"{tmp_path / 'journal'}", "size": 0}
    with pytest.raises(ConfigError, match=r"queue_batch\.size"):
        DB({"local": {"filepath": f"{path}"}, "queue_batch": queue})
    assert snapshot(tmp_path) == {}


def test_a_refused_path_works_once_it_may(tmp_path: Path, open_journal: Callable[..., DB]) -> None:
    at = tmp_path / "missing" / "journal"
    refused(open_journal, at)
    at.parent.mkdir()
    db = open_journal(queue_batch={"journal": f"{at}"})
    db.write_queue_message("k", "v")
    db.flush()
    assert db.read_message("k") == "v"


# Runs as nobody, where it runs as root: root may do everything.
NOBODY = """
import encodings.idna, logging, os, sys
from TetherDB import DB, ConfigError
folder = sys.argv[1]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
queue = {"journal": folder + "/journal"}
try:
    DB({"local": {"filepath": folder + "/store"}, "queue_batch": queue})
except ConfigError as error:
    assert str(error).startswith("queue_batch.journal: " + folder + "/journal"), error
    assert "permission" in str(error).lower() and "Check the permissions" in str(error), error
else:
    raise AssertionError("it was opened")
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "here").mkdir()
        yield Path(name) / "here"
        (Path(name) / "here").chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")
@pytest.mark.parametrize(
    ("folder_mode", "file_mode"), [(0o555, None), (0o777, 0o444), (0o777, 0o000), (0o000, 0o666)]
)
def test_no_permission(folder: Path, folder_mode: int, file_mode: int | None) -> None:
    if file_mode is not None:
        # A sound journal.
        DB({"local": {"filepath": f"{folder}/store"}, "queue_batch": {"journal": f"{folder}/journal"}}).stop()
        (folder / "journal").chmod(file_mode)
    folder.chmod(folder_mode)
    command = [sys.executable, "-c", textwrap.dedent(NOBODY), f"{folder}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    folder.chmod(0o755)
    assert [entry.name for entry in folder.iterdir()] == ([] if file_mode is None else ["journal"])
