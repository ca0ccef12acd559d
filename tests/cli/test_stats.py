"""`tetherdb stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Ran


def test_a_fresh_folder(tetherdb: Callable[..., Ran], tmp_path: Path) -> None:
    ended = tetherdb("stats")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first.startswith("local: answers in ")
    assert second == "local file: localdb, does not exist yet"
    [found] = tetherdb("stats", "--json").records
    assert found["backends"]["local"]["error"] is None
    assert found["local_file"] == {"path": "localdb", "bytes": None}
    assert found["journal"] is None
    assert list(tmp_path.iterdir()) == []


def test_counts_by_bucket(
    tetherdb: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None], tmp_path: Path
) -> None:
    store({f"users:{number}": "x" for number in range(2_500)} | {"a": "1", "b:c:d": "2", "\x1b[2J:x": "3"})
    ended = tetherdb("stats", "--count")
    assert ended.out.splitlines()[1:-1] == [
        "  records: 2503",
        "    (no bucket): 1",
        "    \\u001b[2J: 1",
        "    b: 1",
        "    users: 2500",
    ]
    [found] = tetherdb("stats", "--count", "--json").records
    local = found["backends"]["local"]
    assert local["records"] == 2503
    assert local["buckets"] == {"": 1, "\x1b[2J": 1, "b": 1, "users": 2500}
    assert found["local_file"]["bytes"] >= (tmp_path / "localdb").stat().st_size


def test_a_backend_that_does_not_answer(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path]
) -> None:
    config = configured(etcd={"port": 1, "timeout": 1})
    ended = tetherdb("stats", "--count", "--config", config)
    assert (ended.code, ended.err) == (3, "")
    assert "\netcd: etcd backend: cannot reach localhost:1: " in ended.out
    [found] = tetherdb("stats", "--json", "--config", config).records
    assert found["backends"]["etcd"]["seconds"] is None
    assert tetherdb("stats", "--backend", "local", "--config", config).code == 0


def test_the_journal_of_a_running_process(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], tmp_path: Path
) -> None:
    config: dict[str, Any] = {
        "local": {"filepath": str(tmp_path / "localdb")},
        "queue_batch": {"journal": str(tmp_path / "journal"), "timeout": 60},
    }
    path = configured(**config)
    [found] = tetherdb("stats", "--json", "--config", path).records
    assert found["journal"] == {"path": str(tmp_path / "journal"), "bytes": None}
    assert not (tmp_path / "journal").exists()
    with DB(config) as db:
        for key in "abc":
            db.write_queue_message(key, "x")
        [found] = tetherdb("stats", "--json", "--config", path).records
        journal = found["journal"]
        assert (journal["pending"], journal["given_up"], journal["damaged_bytes"]) == ({"local": 3}, {}, 0)
        assert "  waiting for local: 3\n" in tetherdb("stats", "--config", path).out
