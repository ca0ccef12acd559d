"""Values nested deeply read the same wherever the program stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from .backends import Backend


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        value = {"a": value}
    return value


def at_depth(depth: int, db: DB, backend: Backend) -> object:
    """Reads from a function that so many others have called."""
    if depth:
        return at_depth(depth - 1, db, backend)
    try:
        return db.read_message("k", backend=backend.name)
    except RecursionError:
        return RecursionError


@pytest.mark.parametrize("levels", [100, 199, 200, 201, 400, 700])
def test_a_nested_dict_is_never_read_as_a_str(levels: int, db: DB, backend: Backend) -> None:
    value = nested(levels)
    assert db.write_message("k", value, backend=backend.name)
    assert at_depth(0, db, backend) == value
    room = sys.getrecursionlimit() - 150
    for depth in range(0, room, 50):
        found = at_depth(depth, db, backend)
        # As json.loads has it: there is room for it, or a RecursionError.
        assert found in (value, RecursionError), f"{type(found)} at depth {depth}"


def test_no_depth_is_too_much_for_a_shallow_dict(db: DB, backend: Backend) -> None:
    db.write_message("k", nested(3), backend=backend.name)
    for depth in range(0, sys.getrecursionlimit() - 150, 50):
        assert at_depth(depth, db, backend) == nested(3)
