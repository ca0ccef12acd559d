"""`make bench-guard` without valgrind: how callgrind's files are read, and what is said of the figures."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

# What callgrind writes: names once, then their numbers; positions as differences; what is inlined, under
# another file; and after each call a line with the callee's cost.
RECORDED = """\
# callgrind format
version: 1
positions: line
events: Ir
summary: 99999

ob=(1) /env/TetherDB/_tetherdb.abi3.so
fl=(1) /src/bindings/json.rs
fn=(1) tetherdb::bindings::json::encode
12 100
+3 20
fi=(2) /rustc/library/core/src/str/mod.rs
700 7
fe=(1)
-1 3
cob=(2) /lib/libc.so.6
cfi=(3) ./malloc/malloc.c
cfn=(2) malloc
calls=4 88
* 5000
16 10

fn=(3) tetherdb::bindings::json::encode'2
12 60

fl=(4) /registry/libsqlite3-sys/sqlite3/sqlite3.c
fn=(4) walChecksumBytes
9 400
cfn=(5) sqlite3_step
calls=1 10
* 300

fn=(5)
10 300

ob=(2)
fl=(3)
fn=(2)
88 5000
"""


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    return importlib.import_module("guard")


@pytest.fixture
def ends(guard: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ends:
    return Ends(guard, monkeypatch, tmp_path / "guard.json")


class Ends:
    """How a run of the whole tool ends, where a message costs what the test says."""

    def __init__(self, guard: ModuleType, patch: pytest.MonkeyPatch, baseline: Path) -> None:
        self.guard = guard
        self.patch = patch
        self.baseline = baseline
        patch.setattr(guard, "BASELINE", baseline)
        patch.setattr(guard, "conditions", lambda: {"rustc": "1.0"})

    def costing(self, own: int, *arguments: str) -> int:
        module, code, sqlite = "/env/_tetherdb.abi3.so", "/src/lib.rs", "/registry/sqlite3.c"

        def run(_work: str, count: int, _of: int) -> Any:
            spot = self.guard.Spot
            start_up = {spot(module, code, "start"): 5000, spot(module, sqlite, "open"): 700}
            return self.guard.Counter(start_up | {spot(module, code, "encode"): own * count})

        self.patch.setattr(self.guard, "run", run)
        self.patch.setattr(sys, "argv", ["guard.py", *arguments])
        code_of_exit: int = self.guard.main()
        return code_of_exit


def test_each_function_has_its_own_instructions(guard: ModuleType) -> None:
    costs = guard.read_callgrind(RECORDED.splitlines())
    assert {spot.function: cost for spot, cost in costs.items()} == {
        "tetherdb::bindings::json::encode": 140,
        "tetherdb::bindings::json::encode'2": 60,
        "walChecksumBytes": 400,
        "sqlite3_step": 300,
        "malloc": 5000,
    }


def test_sqlite_and_what_is_outside_are_counted_apart(guard: ModuleType) -> None:
    costs = guard.read_callgrind(RECORDED.splitlines())
    assert guard.by_owner(costs) == {"own": 200, "sqlite": 700, "elsewhere": 5000}


def test_start_up_is_not_counted(ends: Ends) -> None:
    ends.costing(100, "--update")
    written = json.loads(ends.baseline.read_text())
    assert written["taken with"] == {"rustc": "1.0"}
    assert {row["own"] for row in written["works"].values()} == {100}
    assert {row["sqlite"] for row in written["works"].values()} == {0}


def test_the_same_cost_passes(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends.costing(100, "--update") == 0
    assert ends.costing(100) == 0
    assert ends.costing(109) == 0
    assert "Worse" not in capsys.readouterr().out


def test_a_regression_fails_and_says_where(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    ends.costing(100, "--update")
    assert ends.costing(112, "--only", "read") == 1
    told = capsys.readouterr().out
    assert "+12.0%" in told
    assert "Worse by 10 % or more: read." in told
    assert "112.0  encode" in told


def test_an_improvement_asks_for_a_new_baseline(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    ends.costing(100, "--update")
    assert ends.costing(80) == 0
    assert "`--update` keeps it" in capsys.readouterr().out


def test_an_update_of_one_work_keeps_the_others(ends: Ends) -> None:
    ends.costing(100, "--update")
    assert ends.costing(150, "--update", "--only", "read") == 0
    works = json.loads(ends.baseline.read_text())["works"]
    assert works["read"]["own"] == 150
    assert works["write"]["own"] == 100


def test_a_work_without_a_baseline_is_an_error(ends: Ends, guard: ModuleType) -> None:
    ends.costing(100, "--update", "--only", "read")
    with pytest.raises(guard.Unable, match="write: in the baseline, or measured, but not both"):
        ends.costing(100, "--only", "read", "write")


def test_a_work_that_is_measured_no_more_is_an_error(guard: ModuleType) -> None:
    row = {"own": 100.0, "sqlite": 0.0, "elsewhere": 0.0}
    with pytest.raises(guard.Unable, match="gone"):
        guard.compare({"read": row, "gone": row}, {"read": row})


def test_a_module_without_symbols_is_an_error(guard: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    stripped = [line for line in RECORDED.splitlines() if "sqlite3.c" not in line]

    def run(_work: str, _count: int, _of: int) -> Any:
        return guard.read_callgrind(stripped)

    monkeypatch.setattr(guard, "run", run)
    with pytest.raises(guard.Unable, match="has no symbols"):
        guard.measure("read", 1)


def test_valgrind_is_asked_for(guard: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(guard.Unable, match="apt-get install valgrind"):
        guard.valgrind()


def test_the_baseline_has_every_work(guard: ModuleType) -> None:
    works = importlib.import_module("guard_works").WORKS
    assert list(json.loads(guard.BASELINE.read_text())["works"]) == list(works)
