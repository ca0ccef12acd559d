"""config.example.json is valid, complete and harmless."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TetherDB import DB

if TYPE_CHECKING:
    import pytest

    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config.example.json"

# Counted by the system, since the threads of an engine are none of Python's.
OPEN_EXAMPLE = """
import os, sys
from TetherDB import DB

def opened():
    if not os.path.isdir("/proc/self"):
        return None
    return len(os.listdir("/proc/self/task")), sorted(os.listdir("/proc/self/fd"))

before = opened()
db = DB(config_file=sys.argv[1])
assert opened() == before, (before, opened())
print(db)
assert os.listdir() == [], os.listdir()
"""


def example() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    return loaded


def test_it_loads_and_opens_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ran = subprocess.run(
        [sys.executable, "-c", OPEN_EXAMPLE, str(EXAMPLE)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "<TetherDB.DB: local 'localdb', dynamodb 'messages', etcd>\n"
    assert ran.stderr == ""


def test_every_way_of_passing_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for db in (DB(config_file=EXAMPLE), DB(str(EXAMPLE)), DB(example())):
        assert db.write_message("key", {"a": 1})
        db.stop()
    assert (tmp_path / "localdb").exists()


def test_it_names_every_key_of_the_local_backend_and_the_queue() -> None:
    config = example()
    assert {"$schema", "logging", "errors", "local", "queue_batch", "dynamodb", "etcd"} == config.keys()
    assert {"filepath", "synchronous", "busy_timeout", "mode"} == config["local"].keys()
    queue = {"size", "timeout", "max_pending", "max_pending_bytes", "when_full", "retry", "exit_timeout"}
    assert queue == config["queue_batch"].keys()
    assert {"initial", "max", "give_up_after"} == config["queue_batch"]["retry"].keys()


def test_its_remote_sections_lead_to_the_servers_of_docker_compose() -> None:
    config = example()
    assert (config["etcd"]["host"], config["etcd"]["port"]) == ("localhost", 2379)
    assert config["dynamodb"]["endpoint_url"] == "http://localhost:8000"
    assert set(config["dynamodb"]) == {
        "table_name",
        "region",
        "endpoint_url",
        "create_table",
        "consistent_read",
        "timeout",
    }
    assert set(config["etcd"]) == {"host", "port", "use_ssl", "timeout"}


def test_every_section_of_it_stores(
    clean_etcd: EtcdServer,
    dynamodb: DynamoDb,
    documented_dynamodb: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = example()
    # Where the servers are, and nothing else.
    config["etcd"]["port"] = clean_etcd.port
    config["dynamodb"]["endpoint_url"] = dynamodb.url
    with DB(config) as db:
        for backend in ("local", "etcd", "dynamodb"):
            assert db.write_message("direct", {"a": 1}, bucket="example", backend=backend)
            assert db.write_queue_message("queued", {"a": 2}, bucket="example", backend=backend)
        db.flush()
        for backend in ("local", "etcd", "dynamodb"):
            found = db.read_messages(["direct", "queued"], bucket="example", backend=backend)
            assert found == {"direct": {"a": 1}, "queued": {"a": 2}}
    clean_etcd.etcdctl.clear()
