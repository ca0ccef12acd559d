"""`multiprocessing`, by every start method."""

from __future__ import annotations

import multiprocessing
import pickle
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB

from .scripts import PROGRAMS, records, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_use_the_file(tmp_path: Path, method: str) -> None:
    store = tmp_path / "store"
    run(tmp_path, PROGRAMS / "multiprocessed.py", method, str(store)).quiet()
    names = {"parent", "parent-queued"}
    names |= {f"{kind}-{number}" for kind in ("direct", "queued") for number in range(12)}
    if method != "fork":
        names |= {f"late-{number}" for number in range(12)}
    assert set(records(store)) == names


def test_a_handle_is_not_sent_to_another_process(tmp_path: Path) -> None:
    db = DB({"local": {"filepath": str(tmp_path / "store")}})
    with pytest.raises(TypeError, match="configuration"):
        pickle.dumps(db)
