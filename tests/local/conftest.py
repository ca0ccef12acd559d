"""Who else uses the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .peer import KINDS, Peer, python313

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """dbm.sqlite3 itself, and its statements."""
    chosen: str = request.param
    if chosen == "dbm.sqlite3" and python313() is None:
        pytest.skip("no Python 3.13 was found")
    return chosen


@pytest.fixture
def open_peer(kind: str, path: Path) -> Iterator[Callable[..., Peer]]:
    """Starts other programs on the file, and ends them."""
    opened: list[Peer] = []

    def open_one(at: Path | None = None, flag: str = "c") -> Peer:
        opened.append(Peer(kind, at or path, flag))
        return opened[-1]

    yield open_one
    for peer in opened:
        peer.__exit__()


@pytest.fixture
def other(path: Path) -> Iterator[Callable[[], Peer]]:
    """Starts another program on the file, where it does not matter which."""
    opened: list[Peer] = []

    def open_one() -> Peer:
        opened.append(Peer("sqlite3", path))
        return opened[-1]

    yield open_one
    for peer in opened:
        peer.__exit__()
