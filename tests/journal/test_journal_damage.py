"""A journal with a torn end or damage inside: everything that is sound is delivered, and the rest is told."""

from __future__ import annotations

import shutil
import stat
from typing import TYPE_CHECKING

import pytest

from .support import EMPTY, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from TetherDB import DB

    Lines = Callable[[str], list[str]]
    Wait = Callable[[Callable[[], object]], None]

PROGRAM = """
    db = open_db()
    for number in range(8):
        db.write_queue_message(f"key-{number}", f"value-{number}" + "x" * 50)
"""
ALL = {f"key-{number}": f"value-{number}" + "x" * 50 for number in range(8)}


@pytest.fixture
def written(tmp_path: Path, journal: Path) -> bytearray:
    """The bytes of a journal with eight messages in it, whose owner was killed."""
    run_killed(tmp_path, PROGRAM)
    # Behind them may be zeros: space that was made for more.
    return bytearray(journal.read_bytes().rstrip(b"\0"))


def delivered(db: DB) -> dict[str, object]:
    db.flush()
    return dict(db.iter_messages())


def same(one: bytes, other: bytes | bytearray) -> bool:
    """Whether they are the same journal; who has opened it last does not matter."""
    return one[:28] + one[32:] == bytes(other[:28] + other[32:])


def without(*keys: str) -> dict[str, str]:
    return {key: value for key, value in ALL.items() if key not in keys}


@pytest.mark.parametrize("cut", [1, 3, 40, 79])
def test_a_torn_end_is_cut_off_and_told(
    journal: Path,
    written: bytearray,
    open_journal: Callable[..., DB],
    lines: Lines,
    eventually: Wait,
    cut: int,
) -> None:
    journal.write_bytes(written[:-cut])
    db = open_journal()
    assert delivered(db) == without("key-7")
    eventually(lambda: len(lines("WARNING")) == 2)
    [line] = [line for line in lines("WARNING") if "unfinished record" in line]
    assert f"{journal}" in line
    assert lines("ERROR") == []
    # It is told once.
    db.stop()
    open_journal().stop()
    assert len(lines("WARNING")) == 2
    assert [entry.name for entry in journal.parent.iterdir() if "journal" in entry.name] == ["journal"]


def test_every_place_where_it_may_be_torn(
    tmp_path: Path, path: Path, journal: Path, written: bytearray, open_journal: Callable[..., DB]
) -> None:
    second = written.index(b"key-1")
    third = written.index(b"key-2")
    for end in range(second - 20, third + 10, 2):
        journal.write_bytes(written[:end])
        db = open_journal()
        found = delivered(db)
        # The first message is whole; the second one is there once its last byte is.
        whole = end >= written.index(b"value-1") + len(ALL["key-1"])
        assert found == {key: ALL[key] for key in ("key-0", "key-1") if key == "key-0" or whole}, end
        # And it takes more, behind what is sound.
        db.write_queue_message("more", f"{end}")
        assert delivered(db)["more"] == f"{end}"
        db.stop()
        assert journal.stat().st_size == EMPTY
        path.unlink()


@pytest.mark.parametrize("tail", [b"\xff" * 100, b"text", b"\0\0\1"], ids=["ones", "text", "one"])
@pytest.mark.parametrize("zeros", [0, 5000])
def test_what_stands_behind_the_last_record_is_cut_off(
    journal: Path, written: bytearray, open_journal: Callable[..., DB], lines: Lines, tail: bytes, zeros: int
) -> None:
    journal.write_bytes(bytes(written) + tail + bytes(zeros))
    assert delivered(open_journal()) == ALL
    assert any(f"{len(tail)} byte(s)" in line for line in lines("WARNING"))
    assert lines("ERROR") == []


@pytest.mark.parametrize("zeros", [1, 12, 4096, 1 << 20])
def test_zeros_behind_the_last_record_are_no_damage(
    journal: Path, written: bytearray, open_journal: Callable[..., DB], lines: Lines, zeros: int
) -> None:
    journal.write_bytes(bytes(written) + bytes(zeros))
    db = open_journal()
    assert delivered(db) == ALL
    assert [line for line in lines("WARNING") if "byte(s)" in line] == []
    db.write_queue_message("more", "v")
    assert delivered(db) == {**ALL, "more": "v"}
    db.stop()
    assert journal.stat().st_size == EMPTY


@pytest.mark.parametrize("where", [-13, -1, 0, 20], ids=["length", "end-of-frame", "key", "value"])
def test_a_flipped_byte_takes_one_message_and_is_told_loudly(
    journal: Path,
    written: bytearray,
    open_journal: Callable[..., DB],
    lines: Lines,
    eventually: Wait,
    where: int,
) -> None:
    written[written.index(b"key-3") + where] ^= 0x20
    journal.write_bytes(written)
    db = open_journal()
    assert delivered(db) == without("key-3")
    eventually(lambda: lines("ERROR"))
    [line] = lines("ERROR")
    copy = journal.with_name("journal.damaged-1")
    assert f"{journal} is damaged" in line
    assert f"{copy}" in line
    assert same(copy.read_bytes(), written)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    # It is sound again, and told once.
    db.write_queue_message("more", "v")
    db.stop()
    assert db.read_message("more") == "v"
    open_journal().stop()
    assert len(lines("ERROR")) == 1
    assert not journal.with_name("journal.damaged-2").exists()


def test_damage_in_several_places_and_a_torn_end(
    journal: Path, written: bytearray, open_journal: Callable[..., DB], lines: Lines, eventually: Wait
) -> None:
    for key in (b"value-0", b"key-2", b"value-5"):
        written[written.index(key)] ^= 1
    journal.write_bytes(written[:-5])
    # A copy of an earlier damage stays.
    earlier = journal.with_name("journal.damaged-1")
    earlier.write_text("earlier")
    assert delivered(open_journal()) == without("key-0", "key-2", "key-5", "key-7")
    eventually(lambda: lines("ERROR"))
    assert earlier.read_text() == "earlier"
    assert same(journal.with_name("journal.damaged-2").read_bytes(), written[:-5])
    assert f"{journal.with_name('journal.damaged-2')}" in lines("ERROR")[0]


def test_a_hole_of_zeros_inside(
    journal: Path, written: bytearray, open_journal: Callable[..., DB], lines: Lines, eventually: Wait
) -> None:
    start, end = written.index(b"key-2"), written.index(b"value-4")
    written[start:end] = bytes(end - start)
    journal.write_bytes(written)
    assert delivered(open_journal()) == without("key-2", "key-3", "key-4")
    eventually(lambda: lines("ERROR"))


def test_the_copy_is_a_journal_that_another_handle_can_open(
    tmp_path: Path, journal: Path, written: bytearray, open_journal: Callable[..., DB]
) -> None:
    written[written.index(b"key-3")] ^= 1
    journal.write_bytes(written)
    open_journal().stop()
    copy = tmp_path / "copy"
    shutil.copy(journal.with_name("journal.damaged-1"), copy)
    db = open_journal(local={"filepath": f"{tmp_path / 'other'}"}, queue_batch={"journal": f"{copy}"})
    assert delivered(db) == without("key-3")


def test_no_byte_of_the_owner_matters(
    journal: Path, written: bytearray, open_journal: Callable[..., DB], lines: Lines
) -> None:
    written[28:EMPTY] = b"\xff" * (EMPTY - 28)
    journal.write_bytes(written)
    assert delivered(open_journal()) == ALL
    assert lines("ERROR") == []
