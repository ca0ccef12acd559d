"""Several members: the others serve when one is dead or frozen, and what it was sent undoes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from fault_proxy import FaultProxy
from servers.etcd import EtcdCluster, EtcdServer
from servers.process import free_ports
from TetherDB import BackendError, OperationTimeout, Unavailable

from .support import (
    NAME,
    PATIENCE,
    TIMEOUT,
    VERBS,
    adds_up,
    failure,
    freeze,
    helps,
    in_threads,
    within,
    works,
    works_soon,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from TetherDB import DB

# Long enough for each of three members to have its share, and for an election meanwhile.
ELECTION = 6.0


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Three members for the tests of this module, one after the other."""
    with EtcdCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(members: EtcdCluster) -> Generator[EtcdCluster]:
    """They are well and empty; whatever a test does to them is mended."""
    members.leader()
    members.etcdctl.clear()
    yield members
    for member in members.members:
        if member.paused:
            member.resume()
        if not member.running:
            member.launch()
            member.wait_until_ready()


def choose(cluster: EtcdCluster, role: str) -> EtcdServer:
    """A member of this kind; it becomes the first in the list of endpoints."""
    leader = cluster.leader()
    chosen = leader if role == "leader" else next(one for one in cluster.members if one is not leader)
    cluster.members.sort(key=lambda one: one is not chosen)
    return chosen


def hurt(member: EtcdServer, how: str) -> None:
    if how == "kill":
        member.kill()
    else:
        freeze(member)


@pytest.mark.parametrize("role", ["leader", "follower"])
@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "new"])
def test_every_verb_succeeds_through_the_others(
    cluster: EtcdCluster, connect: Callable[..., DB], role: str, how: str, connected: bool
) -> None:
    first = choose(cluster, role)
    cluster.etcdctl.put("other", "value")
    dbs = {name: connect(cluster.section(), timeout=ELECTION) for name in VERBS}
    if connected:
        for db in dbs.values():
            works(db)
    hurt(first, how)

    def succeed(name: str) -> None:
        failed: BackendError | None = None
        with within(ELECTION):
            try:
                VERBS[name](dbs[name])
            except BackendError as error:
                failed = error
        if failed:
            # Whether a delete that was under way was done is not known; all else is done once more.
            assert name.startswith("delete"), failed
            assert "It may have been done" in str(failed)
            # A frozen member to which there was no connection was sent nothing. After a kill it is the
            # election that may keep the answer back.
            assert connected or how == "kill", failed
        works(dbs[name])

    in_threads(*(lambda name=name: succeed(name) for name in VERBS))


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_the_queue_delivers_through_the_others(
    cluster: EtcdCluster, connect: Callable[..., DB], how: str
) -> None:
    first = choose(cluster, "leader")
    db = connect(cluster.section(), timeout=ELECTION, queue_batch={"size": 50})
    for at in range(2000):
        db.write_queue_message(f"key-{at % 100}", f"value {at}", backend=NAME)
        if at == 500:
            hurt(first, how)
    db.flush(timeout=PATIENCE)
    assert db.stats()[NAME]["failed"] == 0
    adds_up(db)
    stored = dict(db.iter_messages(backend=NAME))
    assert stored == {f"key-{at}": f"value {1900 + at}" for at in range(100)}


@pytest.mark.parametrize("killed", ["leader", "follower"])
def test_one_killed_and_another_frozen_end_every_verb_in_time(
    cluster: EtcdCluster, connect: Callable[..., DB], killed: str
) -> None:
    dbs = {name: connect(cluster.section(), timeout=TIMEOUT) for name in VERBS}
    for db in dbs.values():
        works(db)
    choose(cluster, killed).kill()
    freeze(cluster.members[1])

    def fail(name: str) -> None:
        with within(), pytest.raises((OperationTimeout, Unavailable)) as caught:
            VERBS[name](dbs[name])
        error = helps(caught.value, type(caught.value), names="127.0.0.1:")
        assert error.retryable

    for _ in range(2):
        in_threads(*(lambda name=name: fail(name) for name in VERBS))
    cluster.members[1].resume()
    for db in dbs.values():
        works_soon(db)


def test_all_members_down(connect: Callable[..., DB]) -> None:
    ports = free_ports(3)
    db = connect({"endpoints": [f"127.0.0.1:{port}" for port in ports]}, timeout=PATIENCE)
    error = failure(works, db, Unavailable, names="127.0.0.1:", timeout=0.5)
    assert any(str(port) in str(error) for port in ports)


@pytest.mark.parametrize("how", ["refuse", "reset", "black-hole"])
def test_a_dead_member_at_the_head_of_the_list_is_left_behind(
    clean_etcd: EtcdServer, proxy: FaultProxy, connect: Callable[..., DB], how: str
) -> None:
    db = connect({"endpoints": [proxy.address, f"127.0.0.1:{clean_etcd.port}"]}, timeout=2 * TIMEOUT)
    if how == "refuse":
        proxy.refuse()
    elif how == "reset":
        proxy.reset_new()
    else:
        proxy.black_hole()
    with within(2 * TIMEOUT):
        works(db)
    tried = proxy.accepted
    begun = time.monotonic()
    for _ in range(10):
        works(db)
    assert time.monotonic() - begun < TIMEOUT
    assert proxy.accepted == tried


def test_a_member_that_failed_is_taken_again_when_the_other_fails(
    clean_etcd: EtcdServer, connect: Callable[..., DB]
) -> None:
    with (
        FaultProxy("127.0.0.1", clean_etcd.port) as first,
        FaultProxy("127.0.0.1", clean_etcd.port) as second,
    ):
        db = connect({"endpoints": [first.address, second.address]}, timeout=2 * TIMEOUT)
        works(db)
        assert second.accepted == 0
        for going, staying in [(first, second), (second, first)] * 2:
            going.refuse()
            going.drop_all()
            with within(2 * TIMEOUT):
                works(db)
            assert staying.open == 1
            going.pass_through()
            works(db)
            assert going.open == 0
        for each in (first, second):
            each.refuse()
            each.drop_all()
        failure(works, db, Unavailable, names="127.0.0.1:", timeout=2 * TIMEOUT)
        second.pass_through()
        works(db)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_write_in_a_frozen_member_does_not_undo_a_later_one(
    cluster: EtcdCluster, connect: Callable[..., DB], role: str
) -> None:
    for round_number in range(3):
        frozen = choose(cluster, role)
        db = connect(cluster.section(), timeout=ELECTION)
        # It is the member that the handle uses.
        works(db)
        db.write_messages(
            {f"{verb}-key": "zero" for verb in ("write", "update", "many", "queue")}, backend=NAME
        )
        freeze(frozen)

        def write(db: DB, text: str) -> None:
            db.write_queue_message("queue-key", text, backend=NAME)
            in_threads(
                lambda: db.write_message("write-key", text, backend=NAME),
                lambda: db.update_message("update-key", text, backend=NAME),
                lambda: db.write_messages({"many-key": text, "many-other": text}, backend=NAME),
            )
            db.flush(timeout=PATIENCE)

        first, second = f"first {round_number}", f"second {round_number}"
        write(db, first)
        write(db, second)
        frozen.resume()
        cluster.leader()
        time.sleep(1.0)
        stored = cluster.etcdctl.everything()
        stored = {key: value for key, value in stored.items() if key.endswith("-key")}
        assert set(stored.values()) == {second.encode()}, stored
        db.stop()


def test_a_write_that_failed_on_a_frozen_member_does_not_undo_a_later_one(
    cluster: EtcdCluster, connect: Callable[..., DB]
) -> None:
    """All but the frozen member are out of reach for the first write, which is given up."""
    frozen = choose(cluster, "follower")
    others = [one for one in cluster.members if one is not frozen]
    with FaultProxy("127.0.0.1", others[0].port) as proxy:
        endpoints = [f"127.0.0.1:{frozen.port}", proxy.address]
        db = connect({"endpoints": endpoints}, timeout=TIMEOUT)
        for round_number in range(3):
            works_soon(db)
            db.write_message("key", "zero", backend=NAME)
            freeze(frozen)
            proxy.refuse()
            proxy.drop_all()
            with within(), pytest.raises((OperationTimeout, Unavailable)):
                db.write_message("key", f"first {round_number}", backend=NAME)
            proxy.pass_through()
            db.write_message("key", f"second {round_number}", backend=NAME)
            frozen.resume()
            time.sleep(0.5)
            assert cluster.etcdctl.get("key") == f"second {round_number}".encode()
            # The next round begins at the first member.
            db.stop()
            db = connect({"endpoints": endpoints}, timeout=TIMEOUT)


def test_two_handles_write_one_key_through_different_members(
    cluster: EtcdCluster, connect: Callable[..., DB]
) -> None:
    handles = [
        connect({"endpoints": cluster.endpoints[at:] + cluster.endpoints[:at]}, timeout=ELECTION)
        for at in range(3)
    ]

    def write(number: int) -> None:
        for at in range(50):
            assert handles[number].write_message("key", f"{number}-{at}", backend=NAME)
            assert handles[number].update_message("key", f"{number}-{at}", backend=NAME)

    in_threads(*(lambda number=number: write(number) for number in range(3)))
    stored = cluster.etcdctl.get("key")
    assert stored in {f"{number}-49".encode() for number in range(3)}
    assert [db.read_message("key", backend=NAME) for db in handles] == [stored.decode()] * 3


def test_members_come_and_go_while_many_threads_write(
    cluster: EtcdCluster, connect: Callable[..., DB]
) -> None:
    db = connect(cluster.section(), timeout=2 * ELECTION)
    working = True

    def roll() -> None:
        nonlocal working
        try:
            for member in list(cluster.members):
                member.kill()
                time.sleep(0.5)
                member.launch()
                member.wait_until_ready()
                cluster.leader()
        finally:
            working = False

    def write(number: int) -> int:
        at = 0
        while working:
            at += 1
            assert db.write_message(f"key-{number}", str(at), backend=NAME)
            db.write_queue_message(f"queued-{number}", str(at), backend=NAME)
        return at

    _, *counts = in_threads(roll, *(lambda number=number: write(number) for number in range(4)))
    db.flush(timeout=PATIENCE)
    for number, count in enumerate(counts):
        assert db.read_message(f"key-{number}", backend=NAME) == str(count)
        assert db.read_message(f"queued-{number}", backend=NAME) == str(count)
    assert db.stats()[NAME]["failed"] == 0
