"""Faults of a DynamoDB and of the way to it, in the middle of queued and direct writes and deletes.

A request that was given up may be done late, after a newer write of its key, and nothing can guard that
(docs/dynamodb.md). So there are two sorts of rounds. In the strict ones no connection breaks, and no fault
lasts as long as `dynamodb.timeout`: nothing is given up, and nothing may be late. In the others what was
begun before the end of the fault may be; what was begun after it may not be lost to it.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy
from servers.dynamodb import what_runs_here

from .configs import is_tiny, queue_config
from .faults import PROXY_FAULTS, frozen, mended, paused, slow
from .load import Load, closing, remove_journal
from .rounds import count, in_shards, limit, rounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.dynamodb import DynamoDb

    from .faults import Fault
    from .rounds import Round

# `dynamodb.timeout`, in seconds: of strict rounds, much longer than a fault and a busy machine together; and
# of the others, shorter than many faults.
PATIENT = 20.0
HASTY = 0.5
# Queued messages of one thread in a second: DynamoDB Local is slow.
RATE = 150


@pytest.fixture
def server(tmp_path: Path, aws: None) -> Iterator[DynamoDb]:
    """A DynamoDB of this shard's own."""
    with what_runs_here()(tmp_path / "dynamodb") as opened:
        yield opened


@limit("dynamodb")
@in_shards
def test_dynamodb_loses_nothing_through_faults(server: DynamoDb, tmp_path: Path, shard: int) -> None:
    names: Counter[str] = Counter()
    with FaultProxy("127.0.0.1", server.port) as proxy:
        for played in rounds("dynamodb", shard, 2, 0):
            names[play(played, server, proxy, tmp_path)] += 1
    print(f"dynamodb: {dict(names)} of {count('dynamodb')}")


def play(played: Round, server: DynamoDb, proxy: FaultProxy, folder: Path) -> str:
    """One round; gives what went wrong."""
    chance = played.chance()
    is_strict = chance.random() < 0.5
    makes = [frozen, slow] if is_strict else PROXY_FAULTS
    make = chance.choice(makes)
    of_server = chance.random() < 0.3
    fault: Fault = paused(server) if of_server else mended(proxy, make)
    name = f"{'strict' if is_strict else 'hasty'} {'paused' if of_server else make.__name__}"
    table = server.create_table()
    section = {**server.section(table), "endpoint_url": f"http://127.0.0.1:{proxy.port}"}
    timeout = PATIENT if is_strict else HASTY
    config = dynamodb_config(played, {**section, "timeout": timeout}, folder)
    print(f"{name}: {config['queue_batch']}")
    mended_at = 0.0

    def trouble() -> None:
        nonlocal mended_at
        seconds = chance.choice([0.1, 0.4, 0.4 if is_strict else 1.0]) * chance.uniform(0.5, 1.3)
        if chance.random() < 0.3:
            load.stop_later(chance.random() * seconds, chance.choice([0.0, 0.05, 0.3]))
        fault(chance, seconds)
        mended_at = time.monotonic()
        # What is begun from here on must prevail.
        time.sleep(chance.random() * 0.3)

    load = Load(played, config, "dynamodb", timeout=timeout, reads_back=is_strict, rate=RATE)
    with closing(load):
        load.run(trouble)
        late = 0.0 if is_strict else mended_at
        load.finish(lambda: stored(server, table), forgets=is_tiny(config["queue_batch"]), late=late)
        print(f"{load.model.taken()} messages taken, {len(load.handed.told)} given up, {load.stops} stops")
    remove_journal(played, folder)
    server.delete_table(table)
    return name


def dynamodb_config(played: Round, section: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The configuration of one round."""
    chance = played.chance("config")
    journal = folder / f"journal-{played.number}" if chance.random() < 0.5 else None
    queue = queue_config(chance, journal)
    queue["retry"]["give_up_after"] = chance.choice([0.0, 0.3, 300.0, 300.0])
    return {"local": {"filepath": str(folder / "local")}, "dynamodb": section, "queue_batch": queue}


def stored(server: DynamoDb, table: str) -> dict[str, str]:
    """What another program finds, once what was late has come."""
    time.sleep(0.1)
    return server.everything(table)
