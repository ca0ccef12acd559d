"""Users: wrong and missing ones, tokens that end, and changes while a handle is connected."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from server_fixtures import TOKEN_SECONDS
from servers.etcd import READER, WRITER, EtcdCluster, EtcdServer, jwt_tokens, simple_tokens
from servers.etcd_programs import etcd_version
from servers.etcdctl import EtcdctlFailed, User
from TetherDB import AuthenticationFailed, DeliveryError

from .support import NAME, PATIENCE, TIMEOUT, adds_up, every_verb, failure, in_threads, shown, works

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from TetherDB import DB

OTHER = User("other", "the-other-password")
# etcd looks for expired tokens once in a second.
EXPIRED = TOKEN_SECONDS + 1.5


@pytest.fixture(params=["etcd_auth_simple", "etcd_auth_jwt"])
def server(request: pytest.FixtureRequest) -> EtcdServer:
    """An etcd with users, of each kind of token."""
    chosen: EtcdServer = request.getfixturevalue(request.param)
    chosen.etcdctl.clear()
    return chosen


@pytest.fixture
def other(server: EtcdServer) -> Iterator[User]:
    """A user who may do everything, for this test alone."""
    server.etcdctl.add_user(OTHER, "everything")
    yield OTHER
    with contextlib.suppress(EtcdctlFailed):
        server.etcdctl.delete_user(OTHER.name)


def address(server: EtcdServer) -> str:
    return f"127.0.0.1:{server.port}"


@every_verb
def test_a_wrong_password_is_told_by_every_verb(
    etcd_auth_simple: EtcdServer, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    server = etcd_auth_simple
    db = connect(server.section(), password="the-wrong-password", timeout=TIMEOUT)
    for _ in range(2):
        error = failure(verb, db, AuthenticationFailed, names=address(server))
        assert not error.retryable
        assert "etcd.password" in str(error)
        assert "the-wrong-password" not in shown(error)
        assert WRITER.password not in shown(error)


@pytest.mark.parametrize("section", [{"username": "nobody"}, {"password": "wrong"}])
def test_wrong_credentials_fail(
    server: EtcdServer, connect: Callable[..., DB], section: dict[str, str]
) -> None:
    db = connect(server.section(), **section, timeout=TIMEOUT)
    failure(works, db, AuthenticationFailed, names=address(server))


@every_verb
def test_a_server_with_users_asks_for_one(
    etcd_auth_simple: EtcdServer, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    section = {"host": "127.0.0.1", "port": etcd_auth_simple.port}
    db = connect(section, timeout=TIMEOUT)
    error = failure(verb, db, AuthenticationFailed, names=address(etcd_auth_simple))
    assert "etcd.username" in str(error)


def test_a_server_with_jwt_users_asks_for_one(etcd_auth_jwt: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect({"host": "127.0.0.1", "port": etcd_auth_jwt.port}, timeout=TIMEOUT)
    error = failure(works, db, AuthenticationFailed, names=address(etcd_auth_jwt))
    assert "etcd.username" in str(error)


@every_verb
def test_a_server_without_users_takes_none(
    etcd: EtcdServer, connect: Callable[..., DB], verb: Callable[[DB], object]
) -> None:
    db = connect(etcd.section(), username="writer", password="some-password", timeout=TIMEOUT)
    error = failure(verb, db, AuthenticationFailed, names=address(etcd))
    assert "authentication is not enabled" in str(error)
    assert "some-password" not in shown(error)


def test_what_a_wrong_password_keeps_from_delivery_is_given_up(
    server: EtcdServer, connect: Callable[..., DB]
) -> None:
    db = connect(server.section(), password="wrong", timeout=TIMEOUT)
    receipt = db.write_queue_message("key", "value", backend=NAME, receipt=True)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=PATIENCE)
    [(key, value, backend, error)] = caught.value.failed
    assert (key, value, backend) == ("key", "value", NAME)
    assert type(error) is AuthenticationFailed
    assert type(receipt.exception()) is AuthenticationFailed
    assert db.stats()[NAME]["failed"] == 1
    adds_up(db)


def test_an_idle_handle_outlives_its_token(server: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect(server.section())
    works(db)
    time.sleep(EXPIRED)
    works(db)
    time.sleep(EXPIRED)
    db.write_queue_message("key", "value", backend=NAME)
    db.flush(timeout=PATIENCE)
    assert server.etcdctl.get("key") == b"value"


def test_a_busy_handle_outlives_its_tokens(server: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect(server.section())
    end = time.monotonic() + 2 * EXPIRED
    count = 0

    def be_busy() -> None:
        nonlocal count
        while time.monotonic() < end:
            works(db)
            db.write_queue_message("key", "value", backend=NAME)
            count += 1

    in_threads(be_busy, be_busy)
    db.flush(timeout=PATIENCE)
    assert count > 0
    assert db.stats()[NAME]["failed"] == 0


def test_users_and_roles_change_while_a_handle_is_connected(
    server: EtcdServer, connect: Callable[..., DB]
) -> None:
    db = connect(server.section())
    etcdctl = server.etcdctl
    works(db)
    changes: list[Callable[[], object]] = [
        lambda: etcdctl.add_user(OTHER),
        lambda: etcdctl.add_role("another", "readwrite", "another:"),
        lambda: etcdctl.grant_role(OTHER.name, "another"),
        lambda: etcdctl.revoke_role(OTHER.name, "another"),
        lambda: etcdctl.run("role", "delete", "another"),
        lambda: etcdctl.delete_user(OTHER.name),
    ]
    for change in changes:
        change()
        in_threads(*([lambda: works(db)] * 4))
        db.write_queue_message("queued", "value", backend=NAME)
        db.flush(timeout=PATIENCE)
        assert db.delete_message("queued", backend=NAME) is True


def test_calls_go_on_while_users_are_changed(server: EtcdServer, connect: Callable[..., DB]) -> None:
    db = connect(server.section())
    changing = True

    def change() -> None:
        nonlocal changing
        try:
            for _ in range(4):
                server.etcdctl.add_user(OTHER, "everything")
                server.etcdctl.delete_user(OTHER.name)
        finally:
            changing = False

    def be_busy(number: int) -> None:
        at = 0
        while changing:
            at += 1
            assert db.write_message(f"key-{number}", f"value-{at}", backend=NAME)
            assert db.read_message(f"key-{number}", backend=NAME) == f"value-{at}"
            db.write_queue_message(f"queued-{number}", f"value-{at}", backend=NAME)

    in_threads(change, lambda: be_busy(0), lambda: be_busy(1), lambda: be_busy(2))
    db.flush(timeout=PATIENCE)
    assert db.stats()[NAME]["failed"] == 0


def test_a_password_changes_while_a_handle_is_connected(
    server: EtcdServer, other: User, connect: Callable[..., DB]
) -> None:
    db = connect(server.section(other), timeout=TIMEOUT)
    works(db)
    server.etcdctl.change_password(User(other.name, "another-password"))
    error = failure(works, db, AuthenticationFailed, names=address(server))
    assert other.password not in shown(error)
    server.etcdctl.change_password(other)
    works(db)


def test_a_user_is_deleted_while_a_handle_is_connected(
    server: EtcdServer, other: User, connect: Callable[..., DB]
) -> None:
    db = connect(server.section(other), timeout=TIMEOUT)
    works(db)
    server.etcdctl.delete_user(other.name)
    failure(works, db, AuthenticationFailed, names=address(server))
    server.etcdctl.add_user(other, "everything")
    works(db)


def test_a_user_loses_a_role_while_a_handle_is_connected(
    server: EtcdServer, other: User, connect: Callable[..., DB]
) -> None:
    db = connect(server.section(other), timeout=TIMEOUT)
    works(db)
    server.etcdctl.revoke_role(other.name, "everything")
    failure(works, db, AuthenticationFailed, names=address(server))
    server.etcdctl.grant_role(other.name, "everything")
    works(db)


def test_authentication_is_switched_while_a_handle_is_connected(
    etcd_auth_simple: EtcdServer, connect: Callable[..., DB]
) -> None:
    server = etcd_auth_simple
    db = connect(server.section(), timeout=TIMEOUT)
    works(db)
    server.etcdctl.run("auth", "disable")
    try:
        if etcd_version().split(".")[:2] < ["3", "6"]:
            failure(works, db, AuthenticationFailed, names=address(server))
        else:
            # A server that knows no users any more does not look at the token.
            works(db)
        new = connect(server.section(), timeout=TIMEOUT)
        failure(works, new, AuthenticationFailed, names=address(server))
    finally:
        server.etcdctl_as(None).run("auth", "enable")
    works(db)
    works(new)


@pytest.mark.parametrize("kind", ["simple", "jwt"])
def test_users_of_a_cluster_log_in_to_each_member(
    tmp_path: Path, connect: Callable[..., DB], kind: str
) -> None:
    tokens = simple_tokens(TOKEN_SECONDS) if kind == "simple" else jwt_tokens(tmp_path, TOKEN_SECONDS)
    with EtcdCluster(tmp_path / "cluster", tokens=tokens) as cluster:
        db = connect(cluster.section())
        wrong = connect(cluster.section(), password="wrong", timeout=TIMEOUT)
        works(db)
        cluster.members[0].kill()
        cluster.leader()
        works(db)
        time.sleep(EXPIRED)
        works(db)
        failure(works, wrong, AuthenticationFailed, names=address(cluster.members[1]))
        reader = connect(cluster.section(READER), timeout=TIMEOUT)
        failure(works, reader, AuthenticationFailed, names="127.0.0.1:")
