"""Files and folders that may not be written, and disks that are full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, DeliveryError, FlushTimeout

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")

# Runs as nobody, where it runs as root: root may do everything. What is needed is imported before.
NOBODY = """
import encodings.idna, json, logging, os, resource, signal, sys
from TetherDB import BackendError, CorruptStore, DB, DeliveryError, FlushTimeout
folder = sys.argv[1]
db = DB({"local": {"filepath": folder + "/store", "busy_timeout": 1}, "queue_batch": {"timeout": 0.01,
         "retry": {"initial": 0.01, "max": 0.05, "give_up_after": 0.5}}})
logging.getLogger("TetherDB").addHandler(logging.NullHandler())
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def refused(verb, *arguments):
    try:
        verb(*arguments)
    except BackendError as error:
        assert type(error) is BackendError and error.backend == "local", repr(error)
        return str(error)
    raise AssertionError(f"{verb} was not refused")

"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter; those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "here").mkdir()
        yield Path(name) / "here"


def as_nobody(folder: Path, body: str) -> str:
    """Runs the program; gives what it has said."""
    command = [sys.executable, "-c", NOBODY + textwrap.dedent(body), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def make_store(path: Path) -> bytes:
    """A file of ours at rest."""
    with DB({"local": {"filepath": str(path)}}) as db:
        db.write_message("key", "value")
        db.write_message("other", {"a": 1})
    return path.read_bytes()


@pytest.mark.parametrize("folder_mode", [0o777, 0o555])
def test_a_file_that_may_only_be_read(folder: Path, folder_mode: int) -> None:
    before = make_store(folder / "store")
    (folder / "store").chmod(0o444)
    folder.chmod(folder_mode)
    as_nobody(
        folder,
        """
        for verb, *arguments in [
            (db.write_message, "key", "changed"),
            (db.write_messages, {"key": "changed"}),
            (db.update_message, "key", "changed"),
            (db.delete_message, "key"),
            (db.delete_messages, ["key"]),
        ]:
            said = refused(verb, *arguments)
            assert "read-only" in said or "permission" in said.lower(), said
            assert folder + "/store" in said, said
        db.write_queue_message("queued", "text")
        try:
            db.flush(timeout=20)
        except DeliveryError as error:
            assert [failed[0] for failed in error.failed] == ["queued"]
        else:
            raise AssertionError("it was delivered")
        """,
    )
    assert (folder / "store").read_bytes() == before


def test_a_file_that_may_only_be_read_can_be_read(folder: Path) -> None:
    make_store(folder / "store")
    (folder / "store").chmod(0o444)
    folder.chmod(0o777)
    as_nobody(
        folder,
        """
        assert db.read_message("key") == "value"
        assert dict(db.iter_messages()) == {"key": "value", "other": {"a": 1}}
        """,
    )


def test_reading_in_a_folder_that_may_only_be_read(folder: Path) -> None:
    # SQLite may need a companion of the file that it cannot create there: the record, or a clear error.
    before = make_store(folder / "store")
    (folder / "store").chmod(0o444)
    folder.chmod(0o555)
    as_nobody(
        folder,
        """
        try:
            assert db.read_message("key") == "value"
        except BackendError as error:
            assert type(error) is BackendError, repr(error)
            assert folder + "/store" in str(error), error
            reasons = ("permission", "read-only", "may be written")
            assert any(reason in str(error).lower() for reason in reasons), error
        """,
    )
    assert (folder / "store").read_bytes() == before


def test_a_file_that_may_not_even_be_read(folder: Path) -> None:
    before = make_store(folder / "store")
    (folder / "store").chmod(0o000)
    folder.chmod(0o777)
    as_nobody(
        folder,
        """
        for verb, *key in [(db.write_message, "key", "x"), (db.read_message, "key"), (db.list_keys,)]:
            assert "permission denied" in refused(verb, *key).lower()
        """,
    )
    assert (folder / "store").read_bytes() == before


def test_a_folder_that_may_only_be_read(folder: Path) -> None:
    folder.chmod(0o555)
    as_nobody(
        folder,
        """
        assert db.read_message("key") is None
        assert db.list_keys() == {"keys": [], "next_marker": None}
        for verb, *arguments in [(db.write_message, "key", "text"), (db.write_messages, {"key": "text"})]:
            said = refused(verb, *arguments)
            assert "permission denied" in said.lower() and "folder" in said, said
        db.write_queue_message("queued", "text")
        try:
            db.flush(timeout=20)
        except DeliveryError as error:
            assert [failed[:2] for failed in error.failed] == [("queued", "text")]
        else:
            raise AssertionError("it was delivered")
        """,
    )
    assert list(folder.iterdir()) == []


def test_a_folder_that_may_not_be_entered(folder: Path) -> None:
    make_store(folder / "store")
    folder.chmod(0o000)
    as_nobody(
        folder,
        """
        for verb, *arguments in [(db.write_message, "key", "changed"), (db.read_message, "key"), (db.ping,)]:
            assert "permission denied" in refused(verb, *arguments).lower()
        """,
    )
    folder.chmod(0o755)


def test_the_same_handle_works_once_it_may(folder: Path) -> None:
    # The folder belongs to nobody, who forbids and permits.
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    as_nobody(
        folder,
        """
        os.chmod(folder, 0o555)
        refused(db.write_message, "key", "value")
        os.chmod(folder, 0o755)
        assert db.write_message("key", "value") and db.read_message("key") == "value"
        db.stop()
        os.chmod(folder + "/store", 0o444)
        refused(db.write_message, "key", "changed")
        os.chmod(folder + "/store", 0o644)
        assert db.read_message("key") == "value"
        assert db.write_message("key", "changed") and db.read_message("key") == "changed"
        db.write_queue_message("queued", "text")
        db.flush()
        assert db.read_message("queued") == "text"
        """,
    )


@contextmanager
def small_disk(at: Path) -> Generator[Path]:
    """A file system of four MiB in memory."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    at.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", at], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


def fill(db: DB, written: dict[str, Any]) -> str:
    """Writes until the disk is full; gives what the error says."""
    with pytest.raises(BackendError) as caught:  # noqa: PT012
        for number in range(len(written), 10_000):
            assert db.write_message(f"{number}", "x" * 10_000)
            written[f"{number}"] = "x" * 10_000
    assert caught.value.backend == "local"
    assert caught.value.retryable is True
    assert type(caught.value) is BackendError
    return str(caught.value)


def test_a_full_disk_loses_nothing_and_the_handle_works_once_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, ExitStack() as stack:
        (disk / "ballast").write_bytes(b"x" * 3_000_000)
        queue = {"timeout": 0.01, "retry": {"initial": 0.01, "max": 0.05}}
        db = stack.enter_context(DB({"local": {"filepath": str(disk / "store")}, "queue_batch": queue}))
        written: dict[str, Any] = {}
        assert "full" in fill(db, written)
        assert written
        # What was written is there; what was not is not.
        assert dict(db.iter_messages()) == written
        with pytest.raises(BackendError, match="full"):
            db.write_messages({f"bulk-{i}": "x" * 10_000 for i in range(100)})
        assert dict(db.iter_messages()) == written
        db.write_queue_message("queued", "x" * 300_000)
        with pytest.raises(FlushTimeout, match="full"):
            db.flush(timeout=0.3)
        assert db.stats()["local"]["pending"] == 1
        (disk / "ballast").unlink()
        db.flush(timeout=30)
        assert db.read_message("queued") == "x" * 300_000
        assert db.delete_message("queued")
        assert db.write_message("afterwards", "text")
        assert dict(db.iter_messages()) == {**written, "afterwards": "text"}


def test_a_disk_that_is_full_from_the_beginning(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, ExitStack() as stack:
        with (disk / "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while ballast.write(b"x" * 4096):
                pass
        db = stack.enter_context(DB({"local": {"filepath": str(disk / "store")}}))
        with pytest.raises(BackendError) as caught:
            db.write_message("key", "value")
        assert any(word in str(caught.value) for word in ("full", "space")), caught.value
        assert db.read_message("key") is None
        (disk / "ballast").unlink()
        assert db.write_message("key", "value")
        assert db.read_message("key") == "value"


def test_a_limit_of_file_sizes_is_like_a_full_disk(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    as_nobody(
        folder,
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        db.write_message("first", "text")
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
        written = {"first": "text"}
        try:
            for number in range(1000):
                db.write_message(f"{number}", "x" * 10_000)
                written[f"{number}"] = "x" * 10_000
        except BackendError as error:
            assert type(error) is BackendError and error.retryable, repr(error)
            assert "space" in str(error) or "full" in str(error), error
        else:
            raise AssertionError("there was no limit")
        assert len(written) > 5
        assert dict(db.iter_messages()) == written
        refused(db.write_messages, {f"bulk-{i}": "x" * 10_000 for i in range(100)})
        assert dict(db.iter_messages()) == written
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert db.write_message("afterwards", "text")
        db.write_queue_message("queued", "text")
        db.flush()
        assert dict(db.iter_messages()) == {**written, "afterwards": "text", "queued": "text"}
        db.stop()
        """,
    )


def test_an_error_at_the_end_of_the_with_block_of_a_full_disk_hands_the_messages_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        queue = {"timeout": 600, "retry": {"initial": 0.01, "max": 0.05, "give_up_after": 0.2}}
        db = DB({"local": {"filepath": str(disk / "store")}, "queue_batch": queue})
        for number in range(20):
            db.write_queue_message(f"{number}", "x" * 400_000)
        with pytest.raises(DeliveryError, match="full") as caught, db:
            assert db.stats()["local"]["accepted"] == 20
        assert {failed[0] for failed in caught.value.failed} | set(dict(db.iter_messages())) == {
            f"{number}" for number in range(20)
        }
        db.drop_failed()
        db.stop()
