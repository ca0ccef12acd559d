"""A cluster of three etcd that loses, or freezes, one member at a time, in the middle of work."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from servers.etcd import EtcdCluster

from .configs import is_tiny
from .faults import killed, paused
from .load import Load, closing, remove_journal
from .rounds import count, in_shards, limit, rounds
from .test_etcd import etcd_config, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .rounds import Round

# `etcd.timeout`: long enough for another member to be tried, not for an election.
TIMEOUT = 1.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members of this shard's own."""
    with EtcdCluster(tmp_path / "cluster") as opened:
        yield opened


@limit("etcd")
@in_shards
def test_a_cluster_loses_nothing_with_a_member(cluster: EtcdCluster, tmp_path: Path, shard: int) -> None:
    names: Counter[str] = Counter()
    for played in rounds("etcd", shard, 2, 1):
        names[play(played, cluster, tmp_path)] += 1
        cluster.etcdctl.clear()
    print(f"cluster: {dict(names)} of {count('etcd')}")


def play(played: Round, cluster: EtcdCluster, folder: Path) -> str:
    """One round; gives what went wrong."""
    chance = played.chance()
    member = cluster.leader() if chance.random() < 0.5 else chance.choice(cluster.members)
    make = chance.choice([paused, killed])
    config = etcd_config(played, cluster.section(), folder)
    config["etcd"]["timeout"] = TIMEOUT
    print(f"{make.__name__} {member.name}: {config['queue_batch']}")
    with closing(Load(played, config, "etcd", timeout=TIMEOUT)) as load:
        load.run(lambda: trouble(played, load, [make(member)]))
        if load.has_journal and chance.random() < 0.3:
            load.open_again(chance.choice([0.0, 0.1]))
        load.finish(
            lambda: stored(cluster, f"r{played.number}:"),
            forgets=is_tiny(config["queue_batch"]),
            # docs/etcd.md: one key after a later delete of it.
            revives=True,
        )
        print(f"{load.model.taken()} messages taken, {len(load.handed.told)} given up, {load.stops} stops")
    remove_journal(played, folder)
    return make.__name__


def stored(cluster: EtcdCluster, prefix: str) -> dict[str, str]:
    """What another program finds, once the members agree and what was late has come."""
    cluster.leader()
    time.sleep(0.05)
    found = cluster.etcdctl.everything(prefix)
    return {key: text.decode() for key, text in found.items()}
