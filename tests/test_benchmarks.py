"""The benchmarks run: one tiny round of every work and every peer. Nothing here depends on speed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

PEERS = (
    "boto3",
    "diskcache",
    "etcd3gw",
    "janus",
    "lmdb",
    "matplotlib",
    "persistqueue",
    "rich",
    "rocksdict",
    "sqlitedict",
)
MISSING = [name for name in PEERS if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; `make test` installs them"
)

COUNT = 40


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a tiny run writes down."""
    folder = tmp_path_factory.mktemp("benchmarks")
    target = folder / "figures.json"
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--repetitions", "1", "--count", str(COUNT)]
    command += ["--folder", str(folder), "--json", str(target), "--any-disk"]
    wheel = folder / "tetherdb.whl"
    wheel.write_bytes(bytes(1000))
    command += ["--wheel", str(wheel)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert run.returncode == 0, run.stderr
    assert "Targets" in run.stdout
    assert "<svg" in target.with_suffix(".svg").read_text()
    assert not list(folder.glob("bench-*")), "the stores of the run were left behind"
    written: dict[str, Any] = json.loads(target.read_text())
    return written


def test_every_work_is_measured(figures: dict[str, Any]) -> None:
    for work in figures["works"]:
        names = [contender["name"] for contender in work["contenders"]]
        assert names[0] in ("TetherDB", "TetherDB, small file")
        for contender in work["contenders"]:
            # So few messages may fit into memory that the process has already.
            least = 0 if work["unit"] in ("x payload", "MiB") else sys.float_info.min
            assert contender["median"] >= least, (work["work"], contender["name"])
            assert len(contender["runs"]) == 1
        for target in work["targets"]:
            assert target["measured"], (work["work"], target)


def test_the_works_of_the_contract_are_there(figures: dict[str, Any]) -> None:
    names = {work["work"] for work in figures["works"]}
    assert names >= {
        "enqueue",
        "queued",
        "queued-1000",
        "write-many",
        "write",
        "write-threads",
        "read",
        "read-many",
        "iterate",
        "full-queue",
        "import",
        "wheel",
        "queued-1kb",
        "read-64kb",
        "scale-write",
        "scale-list",
        "journal",
    }


@pytest.mark.parametrize(
    ("server", "works"),
    [
        ("etcd", {"etcd-queued", "etcd-write", "etcd-read"}),
        ("dynamodb", {"dynamodb-queued", "dynamodb-write", "dynamodb-read"}),
    ],
)
def test_the_works_of_a_server_are_there_or_said_to_be_left_out(
    figures: dict[str, Any], server: str, works: set[str]
) -> None:
    measured = works & {work["work"] for work in figures["works"]}
    if figures["facts"][server].startswith("left out"):
        assert not measured
        pytest.skip(f"{server} is {figures['facts'][server]}")
    assert measured == works


def test_both_servers_are_needed_for_their_memory(figures: dict[str, Any]) -> None:
    names = {work["work"] for work in figures["works"]}
    facts = figures["facts"]
    both = not any(facts[server].startswith("left out") for server in ("etcd", "dynamodb"))
    assert ("rest-remote" in names) == both
    assert "import-remote" in names


def test_the_records_have_their_size() -> None:
    program = """import json, records
for size in (100, 1 << 10, 64 << 10):
    print({len(json.dumps(records.record(at, size))) for at in (0, 7, 999_999)})"""
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=BENCHMARKS, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["{100}", "{1024}", "{65536}"]
