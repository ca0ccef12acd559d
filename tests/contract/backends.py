"""The backends that the contract is tested on: one row for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Backend:
    """One backend, and in what it differs from others."""

    name: str
    section: Callable[[Path], dict[str, Any]]
    """Its part of the configuration, for a test that has the given folder to itself."""
    ordered_lists: bool
    """Lists come in key order."""
    atomic_bulk: bool
    """A bulk verb does all or nothing."""
    limit: int
    """Bytes of the largest value that the suite may try."""


def local_section(folder: Path) -> dict[str, Any]:
    """A file of its own; no commit waits for the disk."""
    return {"local": {"filepath": str(folder / "store"), "synchronous": "off"}}


BACKENDS = [
    Backend(
        name="local",
        section=local_section,
        ordered_lists=True,
        atomic_bulk=True,
        limit=100_000_000,
    ),
]
