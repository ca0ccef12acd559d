"""The backend under test, and a handle on it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, TetherDBError

from .backends import BACKENDS, Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=BACKENDS, ids=[backend.name for backend in BACKENDS])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each backend in turn."""
    chosen: Backend = request.param
    return chosen


@pytest.fixture
def db(backend: Backend, tmp_path: Path) -> Iterator[DB]:
    """A fresh, empty handle on the backend, with a fast queue; stopped at the end."""
    db = DB({**backend.section(tmp_path), "queue_batch": {"timeout": 0.02}})
    yield db
    with contextlib.suppress(TetherDBError):
        db.stop(timeout=5)
