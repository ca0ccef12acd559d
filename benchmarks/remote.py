"""What is measured across a network: the works, who does each of them, and what TetherDB aims at.

As in ``tasks.py``; every contender has its connection, by one request, before the clock starts.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import remote_peers
from contest import Contender, Raw, Target, Workload, expect, ours
from footprint import in_bare_python
from records import FIRST_ID, items, record
from tasks import MEMORY, READS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from measure import Task

# Rows to read, also with fewer messages.
ROWS = 5_000
QUICK_ROWS = 500
SYNC_SERVER = "server: disk sync"
FIRST = f"{remote_peers.WRITTEN}first"
BATCH_WRITER = "boto3 batch_writer"
LIMITS_IN_FLIGHT = (1, 2, 4, 8, 16)


def read_key(at: int) -> str:
    return f"{remote_peers.READ}{FIRST_ID + at}"


def read_items(rows: int) -> list[tuple[str, dict[str, Any]]]:
    return [(read_key(at), record(at)) for at in range(rows)]


def tether(backend: str, *, table: str = remote_peers.WRITTEN_TABLE, **how: Any) -> Callable[[Task], Any]:
    return lambda task: remote_peers.Tether(backend, task.addresses, task.folder, table=table, **how)


def etcd3gw(task: Task) -> remote_peers.Etcd3gw:
    return remote_peers.Etcd3gw(task.addresses)


def boto3(table: str = remote_peers.WRITTEN_TABLE) -> Callable[[Task], remote_peers.Boto3]:
    return lambda task: remote_peers.Boto3(task.addresses, table)


def aioboto3(table: str = remote_peers.WRITTEN_TABLE) -> Callable[[Task], remote_peers.AioBoto3]:
    return lambda task: remote_peers.AioBoto3(task.addresses, table)


def deliver(make: Callable[[Task], Any]) -> Callable[[Task], None]:
    """Hands messages over and waits until the server has answered for all."""

    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task)
        peer.write(FIRST, {})
        put = peer.enqueue
        with task.timed():
            for key, value in work:
                put(key, value)
            peer.flush()
        peer.close()
        task.note = peer.note

    return run


def write_all(make: Callable[[Task], Any], verb: str = "write_all") -> Callable[[Task], None]:
    """Hands all over in one call."""

    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task)
        peer.write(FIRST, {})
        write = getattr(peer, verb)
        with task.timed():
            write(work)
        peer.close()
        task.note = peer.note

    return run


def write_each(make: Callable[[Task], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        work = items(task.count)
        peer = make(task)
        write = peer.write
        write(FIRST, {})
        with task.timed():
            for key, value in work:
                write(key, value)
        peer.close()
        task.note = peer.note

    return run


def read_each(make: Callable[[Task], Any]) -> Callable[[Task], None]:
    def run(task: Task) -> None:
        keys = [read_key(at * 61_803 % task.rows) for at in range(task.count)]
        peer = make(task)
        read = peer.read
        expect(read(read_key(1)) == record(1), "a wrong value was read")
        with task.timed():
            for key in keys:
                read(key)
        peer.close()
        task.note = peer.note

    return run


def read_together(make: Callable[[Task], Any]) -> Callable[[Task], None]:
    """Reads one by one, many at a time."""

    def run(task: Task) -> None:
        keys = [read_key(at * 61_803 % task.rows) for at in range(task.count)]
        peer = make(task)
        expect(peer.read_together([read_key(1)]) == [record(1)], "a wrong value was read")
        with task.timed():
            found = peer.read_together(keys)
        expect(len(found) == task.count, "not all keys were read")
        peer.close()
        task.note = peer.note

    return run


# Memory and import

OPEN = """
from TetherDB import DB
db = DB({config!r})
"""
USE = """
for backend in ("etcd", "dynamodb"):
    db.write_message("user:1", {"name": "Alice"}, backend=backend)
    db.read_message("user:1", backend=backend)
"""
OPEN_PEERS = """
import boto3, etcd3gw, json
table = boto3.resource("dynamodb", endpoint_url={url!r}).Table({table!r})
etcd = etcd3gw.client({host!r}, {port})
"""
USE_PEERS = """
text = json.dumps({"name": "Alice"})
table.put_item(Item={"key": "user:1", "value": text})
json.loads(table.get_item(Key={"key": "user:1"}, ConsistentRead=True)["Item"]["value"])
etcd.put("user:1", text)
json.loads(etcd.get("user:1")[0])
"""
# Nobody listens there, and opening connects to nothing.
NOWHERE = {"etcd": "127.0.0.1:1", "dynamodb": "http://127.0.0.1:1"}


def opened(task: Task) -> str:
    config = remote_peers.configuration(NOWHERE | task.addresses, task.folder)
    return OPEN.format(config=config)


def used(task: Task) -> str:
    return opened(task) + USE


def peers_used(task: Task) -> str:
    host, _, port = task.addresses["etcd"].rpartition(":")
    url = task.addresses["dynamodb"]
    where = {"url": url, "table": remote_peers.WRITTEN_TABLE, "host": host, "port": port}
    return OPEN_PEERS.format(**where) + USE_PEERS


def contenders() -> Iterator[Workload]:
    yield from etcd_contenders()
    yield from dynamodb_contenders()
    both_imports = "import boto3, etcd3gw"
    yield Workload(
        "import-remote",
        "import, and opening all three",
        1,
        1,
        [
            ours("", in_bare_python(opened)),
            Contender(both_imports, "", in_bare_python(both_imports)),
        ],
        [Target(20, both_imports)],
        "seconds",
        groups=("footprint",),
    )
    yield Workload(
        "rest-remote",
        "memory, both servers connected, over bare Python",
        1,
        1,
        [
            ours("", in_bare_python(used, memory=True)),
            Contender("boto3 and etcd3gw", "", in_bare_python(peers_used, memory=True)),
        ],
        [Target(40)],
        "MiB",
        groups=("footprint",),
        servers=("etcd", "dynamodb"),
    )


def etcd_contenders() -> Iterator[Workload]:
    put_loop, put, get = "etcd3gw, put loop", "etcd3gw put", "etcd3gw get"
    raw = "raw limit (etcd-client in Rust)"
    limits = {
        "transactions": f"{raw}, {os.cpu_count()} threads",
        "transactions-one-thread": f"{raw}, 1 thread",
    }

    def limit(work: str) -> Raw:
        return Raw(work, "raw_etcd", "etcd")

    yield Workload(
        "etcd-queued",
        "etcd, queued and drained, size 128",
        50_000,
        10_000,
        [
            ours(SYNC_SERVER, deliver(tether("etcd", size=128))),
            Contender(put_loop, SYNC_SERVER, write_each(etcd3gw), 0.01),
            *(Contender(name, SYNC_SERVER, limit(work)) for work, name in limits.items()),
        ],
        [Target(100, put_loop), Target(0.85, tuple(limits.values()), raw)],
        groups=("etcd",),
        servers=("etcd",),
        writes=True,
    )
    yield Workload(
        "etcd-write",
        "etcd, direct write",
        1_000,
        200,
        [
            ours(SYNC_SERVER, write_each(tether("etcd"))),
            Contender(put, SYNC_SERVER, write_each(etcd3gw)),
            Contender(raw, SYNC_SERVER, limit("put")),
        ],
        [Target(2, put)],
        groups=("etcd",),
        servers=("etcd",),
        writes=True,
    )
    yield Workload(
        "etcd-read",
        "etcd, read one",
        1_000,
        200,
        [
            ours(READS, read_each(tether("etcd"))),
            Contender(get, READS, read_each(etcd3gw)),
            Contender(raw, READS, limit("get")),
        ],
        [Target(2, get)],
        groups=("etcd",),
        servers=("etcd",),
    )


def dynamodb_contenders() -> Iterator[Workload]:
    put_loop, put, get = "boto3, put_item loop", "boto3 put_item", "boto3 get_item"
    aio = f"{remote_peers.IN_FLIGHT} in flight"
    raw = "raw limit (aws-sdk in Rust)"
    written, read = remote_peers.WRITTEN_TABLE, remote_peers.READ_TABLE
    limits = {number: f"{raw}, {number} in flight" for number in LIMITS_IN_FLIGHT}

    def limit(work: str, table: str = written) -> Raw:
        return Raw(work, "raw_dynamodb", "dynamodb", (table,))

    yield Workload(
        "dynamodb-queued",
        "DynamoDB, queued and drained, size 25",
        6_000,
        1_000,
        [
            ours(MEMORY, deliver(tether("dynamodb", size=25))),
            Contender(BATCH_WRITER, MEMORY, write_all(boto3())),
            Contender(put_loop, MEMORY, write_each(boto3()), 0.1),
            Contender("aioboto3 batch_writer", MEMORY, write_all(aioboto3()), needs="aioboto3"),
            Contender(
                f"aioboto3 put_item, {aio}",
                MEMORY,
                write_all(aioboto3(), "write_together"),
                0.3,
                needs="aioboto3",
            ),
            *(Contender(name, MEMORY, limit(f"batches-{number}")) for number, name in limits.items()),
        ],
        [
            Target(2, BATCH_WRITER),
            Target(20, put_loop),
            Target(0.85, tuple(limits.values()), raw),
            Target(5, BATCH_WRITER, cpu=True),
        ],
        groups=("dynamodb",),
        servers=("dynamodb",),
        writes=True,
    )
    yield Workload(
        "dynamodb-write",
        "DynamoDB, direct write",
        1_000,
        200,
        [
            ours(MEMORY, write_each(tether("dynamodb"))),
            Contender(put, MEMORY, write_each(boto3())),
            Contender("aioboto3 put_item", MEMORY, write_each(aioboto3()), needs="aioboto3"),
            Contender(raw, MEMORY, limit("put")),
        ],
        [Target(2, put)],
        groups=("dynamodb",),
        servers=("dynamodb",),
        writes=True,
    )
    yield Workload(
        "dynamodb-read",
        "DynamoDB, read one",
        1_000,
        200,
        [
            ours(READS, read_each(tether("dynamodb", table=read))),
            Contender(get, READS, read_each(boto3(read))),
            Contender(f"aioboto3 get_item, {aio}", READS, read_together(aioboto3(read)), needs="aioboto3"),
            Contender(raw, READS, limit("get", read)),
        ],
        [Target(2, get)],
        groups=("dynamodb",),
        servers=("dynamodb",),
    )
