"""Handles with a journal, in the process of the tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, TetherDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal of this test goes: the same as `open_db` has in a program."""
    return tmp_path / "journal"


@pytest.fixture
def open_journal(path: Path, journal: Path) -> Iterator[Callable[..., DB]]:
    """Opens handles with the journal, and ends them after the test without waiting for anything.

    Keywords are sections or keys of the configuration, but for `on_error`.
    """
    opened: list[DB] = []

    def open_one(on_error: Callable[..., object] | None = None, **config: Any) -> DB:
        config["local"] = {"filepath": str(path), "synchronous": "off", **config.get("local", {})}
        config["queue_batch"] = {"journal": str(journal), "timeout": 0.02, **config.get("queue_batch", {})}
        db = DB(config, on_error=on_error)
        opened.append(db)
        return db

    yield open_one
    for db in opened:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=0)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    """The lines that were logged at one level, and no longer matter to the next call."""

    def take(level: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelname == level]

    return take
