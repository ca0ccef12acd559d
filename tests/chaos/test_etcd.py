"""Faults of one etcd and of the way to it, in the middle of queued and direct writes and deletes."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy
from servers.etcd import EtcdServer

from .configs import is_tiny, queue_config
from .faults import PROXY_FAULTS, killed, mended, paused
from .load import Load, closing, remove_journal
from .rounds import count, in_shards, limit, rounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .faults import Fault
    from .rounds import Round

# `etcd.timeout`. Faults are shorter, as long, and longer.
TIMEOUT = 0.5
FENCE = "TetherDB/fence"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd of this shard's own."""
    with EtcdServer(tmp_path / "etcd") as opened:
        yield opened


@limit("etcd")
@in_shards
def test_etcd_loses_nothing_through_faults(server: EtcdServer, tmp_path: Path, shard: int) -> None:
    names: Counter[str] = Counter()
    with FaultProxy("127.0.0.1", server.port) as proxy:
        for played in rounds("etcd", shard, 2, 0):
            names[play(played, server, proxy, tmp_path)] += 1
            server.etcdctl.clear()
    print(f"etcd: {dict(names)} of {count('etcd')}")


def play(played: Round, server: EtcdServer, proxy: FaultProxy, folder: Path) -> str:
    """One round; gives what went wrong."""
    chance = played.chance()
    # Of the server's own faults the proxy is no part.
    of_server = chance.random() < 0.4
    make = chance.choice([paused, killed] if of_server else PROXY_FAULTS)
    fault: Fault = make(server) if of_server else mended(proxy, make)  # type: ignore[operator, arg-type]
    section = server.section() if of_server else {"host": "127.0.0.1", "port": proxy.port}
    config = etcd_config(played, section, folder)
    print(f"{make.__name__}: {config['queue_batch']}")
    with closing(Load(played, config, "etcd", timeout=TIMEOUT)) as load:
        load.run(lambda: trouble(played, load, [fault]))
        if load.has_journal and chance.random() < 0.3:
            load.open_again(chance.choice([0.0, 0.1]))
        load.finish(
            lambda: stored(server, f"r{played.number}:"),
            forgets=is_tiny(config["queue_batch"]),
            # docs/etcd.md: one key after a later delete of it.
            revives=True,
        )
        print(f"{load.model.taken()} messages taken, {len(load.handed.told)} given up, {load.stops} stops")
    remove_journal(played, folder)
    return make.__name__


def etcd_config(played: Round, section: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of one round."""
    chance = played.chance("config")
    journal = folder / f"journal-{played.number}" if chance.random() < 0.5 else None
    queue = queue_config(chance, journal)
    queue["retry"]["give_up_after"] = chance.choice([0.0, 0.3, 300.0, 300.0])
    return {
        "local": {"filepath": str(folder / "local")},
        "etcd": {**section, "timeout": TIMEOUT},
        "queue_batch": queue,
    }


def trouble(played: Round, load: Load, faults: list[Fault]) -> None:
    """Faults, and now and then a `stop` in the middle of one."""
    chance = played.chance("trouble")
    for fault in faults:
        seconds = chance.choice([0.1, 0.4, 1.0]) * chance.uniform(0.5, 1.3)
        if chance.random() < 0.3:
            load.stop_later(chance.random() * seconds, chance.choice([0.0, 0.05, 0.3]))
        fault(chance, seconds)
        time.sleep(chance.random() * 0.1)


def stored(server: EtcdServer, prefix: str) -> dict[str, str]:
    """What another program finds, once what was late has come."""
    time.sleep(0.05)
    found = server.etcdctl.everything(prefix)
    return {key: text.decode() for key, text in found.items()}
