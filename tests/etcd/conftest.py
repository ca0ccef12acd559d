"""Handles on the servers of the suite, and a way to one that can be broken."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy
from TetherDB import DB, TetherDBError

from .support import NAME, PATIENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.etcd import EtcdServer


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[..., DB]]:
    """Opens handles on the server of a section, and stops them at the end of the test.

    Keywords are further keys of the section, but for `queue_batch`, `debug` and `on_error`.
    """
    opened: list[DB] = []

    def open_one(
        section: dict[str, Any],
        *,
        queue_batch: dict[str, Any] | None = None,
        debug: bool = False,
        on_error: Callable[..., object] | None = None,
        **more: Any,
    ) -> DB:
        config: dict[str, Any] = {
            "debug": debug,
            "local": {"filepath": str(tmp_path / "local")},
            NAME: {"timeout": PATIENT, **section, **more},
            "queue_batch": {"timeout": 0.02, **(queue_batch or {})},
        }
        db = DB(config, on_error=on_error)
        opened.append(db)
        return db

    yield open_one
    for db in opened:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=2)


@pytest.fixture
def proxy(clean_etcd: EtcdServer) -> Iterator[FaultProxy]:
    """A way to the shared etcd that can be broken."""
    with FaultProxy("127.0.0.1", clean_etcd.port, capture=64) as opened:
        yield opened
