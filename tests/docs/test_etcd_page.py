"""What docs/etcd.md says in tables and commands is so, on real servers."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy.proxy import FaultProxy
from servers.etcd import READER, EtcdServer, simple_tokens
from servers.etcdctl import User
from TetherDB import DB, DeliveryError, TetherDBError

from .doc_pages import ETCD, blocks, code, environment, read, section, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = read("docs/etcd.md")
ON_ETCD: dict[str, Any] = {"backend": "etcd"}


def open_db(section: dict[str, Any], **queue: Any) -> DB:
    return DB({"etcd": section, "queue_batch": {"timeout": 0.01, **queue}, "logging": "none"})


def failure(work: Callable[[], object]) -> TetherDBError:
    with pytest.raises(TetherDBError) as caught:
        work()
    return caught.value


# What is stored.


def test_etcdctl_sees_what_the_page_says(clean_etcd: EtcdServer) -> None:
    db = open_db(clean_etcd.section())
    db.write_messages({"alice": {"name": "Alice"}, "bob": {"name": "Bob"}}, bucket="users", **ON_ETCD)
    text = section(PAGE, "What is stored")
    [command], [output] = blocks(text, "sh"), blocks(text, "text")
    program, *arguments = command.split()
    assert program == "etcdctl"
    assert clean_etcd.etcdctl.run(*arguments).decode() == output
    clean_etcd.etcdctl.put("users:carol", "written by another")
    assert db.read_message("carol", bucket="users", **ON_ETCD) == "written by another"
    clean_etcd.etcdctl.put("users:dave", b"\xff")
    assert "'users:dave'" in str(failure(lambda: db.read_message("dave", bucket="users", **ON_ETCD)))
    assert "dave" in db.list_keys(bucket="users", **ON_ETCD)["keys"]
    assert db.write_message("dave", "text", bucket="users", **ON_ETCD)
    clean_etcd.etcdctl.put("users:dave", b"\xff")
    assert db.delete_message("dave", bucket="users", **ON_ETCD)


# TLS.

PING = """
import json, sys
from TetherDB import DB
DB({"etcd": json.loads(sys.argv[1])}).ping("etcd")
"""


def test_the_system_roots_may_be_named_by_a_variable(etcd_tls: EtcdServer) -> None:
    rows = table(section(PAGE, "TLS"), "the server")
    assert code(rows[0][1]) == ["use_ssl"]
    config = f'{{"port": {etcd_tls.port}, "use_ssl": true, "timeout": 5}}'
    assert etcd_tls.tls is not None
    for variables, code_expected in (({}, 1), ({"SSL_CERT_FILE": str(etcd_tls.tls.authority.ca_file)}, 0)):
        ran = subprocess.run(
            [sys.executable, "-c", PING, config],
            env=environment(variables),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == code_expected, ran.stderr
        assert ("invalid peer certificate" in ran.stderr) == (code_expected == 1)


@pytest.mark.parametrize(("row", "server"), [(1, "etcd_tls"), (2, "etcd_mutual_tls")])
def test_each_kind_of_tls_needs_the_keys_that_the_page_lists(
    row: int, server: str, request: pytest.FixtureRequest
) -> None:
    etcd: EtcdServer = request.getfixturevalue(server)
    listed = code(table(section(PAGE, "TLS"), "the server")[row][1])
    all_keys = etcd.section()
    needed = {key: all_keys[key] for key in ("host", "port", *listed)}
    assert open_db(needed).ping("etcd") < 60
    for key in listed:
        fewer = {name: value for name, value in needed.items() if name != key}
        if key in ("cert_file", "key_file"):
            del fewer["cert_file" if key == "key_file" else "key_file"]
        fewer |= {"use_ssl": True, "timeout": 1}
        failed = failure(lambda section=fewer: open_db(section).ping("etcd"))  # type: ignore[misc]
        assert type(failed).__name__ == "Unavailable"


# Users and roles.


def verbs_by_row(db: DB) -> list[list[Callable[[], object]]]:
    """The calls of each row of the table of permissions."""
    shop: dict[str, Any] = {"bucket": "shop", **ON_ETCD}

    def queue() -> None:
        db.write_queue_message("a", "1", **shop)
        try:
            db.flush()
        finally:
            db.drop_failed()

    return [
        [lambda: db.read_message("a", **shop), lambda: db.read_messages(["a", "b"], **shop)],
        [
            lambda: db.write_message("a", "1", **shop),
            lambda: db.write_messages({"a": "1", "b": "2"}, **shop),
            lambda: db.delete_message("a", **shop),
            lambda: db.delete_messages(["a", "b"], **shop),
            queue,
        ],
        [lambda: db.update_message("a", "1", **shop)],
        [
            lambda: db.list_keys(**shop),
            lambda: db.list_messages(**shop),
            lambda: list(db.iter_messages(**shop)),
        ],
        [lambda: db.list_keys(**ON_ETCD), lambda: db.list_messages(**ON_ETCD)],
        [lambda: db.ping("etcd")],
    ]


# By the row of the table.
NEEDED = ["read", "write", "readwrite", "read", "everything", ""]


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize("permission", ["read", "write", "readwrite", "everything"])
def test_each_verb_needs_the_permission_that_the_page_lists(
    permission: str, several: bool, etcd_auth_simple: EtcdServer
) -> None:
    rows = table(section(PAGE, "Users and roles"), "verb")
    assert len(rows) == len(NEEDED)
    user = User("page", "the-page-password")
    etcdctl = etcd_auth_simple.etcdctl
    granted, prefix = ("read", "") if permission == "everything" else (permission, "shop:")
    etcdctl.add_role("page", granted, prefix)
    etcdctl.add_user(user, "page")
    try:
        endpoints = [f"127.0.0.1:{etcd_auth_simple.port}", f"localhost:{etcd_auth_simple.port}"]
        config = {"username": user.name, "password": user.password}
        db = open_db({"endpoints": endpoints if several else endpoints[:1], **config})
        for row, need, calls in zip(rows, NEEDED, verbs_by_row(db), strict=True):
            allowed = not need or need in granted or (need == "everything" and permission == "everything")
            if need == "everything":
                allowed = permission == "everything"
                assert "--prefix ''" in row[1]
            elif need:
                assert f"`{need}`" in row[1]
            for call in calls:
                if allowed:
                    call()
                else:
                    assert "denies the user this key" in str(failure(call)), row
    finally:
        etcdctl.delete_user(user.name)
        etcdctl.run("role", "delete", "page")
        etcdctl.clear("shop:")


def test_the_role_of_the_page_allows_its_buckets_alone(production: Any) -> None:
    first = production.cluster.members[0].section(User("shop", production.variables["SHOP_PASSWORD"]))
    config = {key: value for key, value in first.items() if key not in ("host", "port")}
    config |= {"endpoints": production.cluster.endpoints, "username": "shop"}
    config["password"] = production.variables["SHOP_PASSWORD"]
    db = open_db(config)
    for bucket in ("users", "orders"):
        place: dict[str, Any] = {"bucket": bucket, **ON_ETCD}
        assert db.write_message("1", "a", **place)
        assert db.update_message("1", "b", **place)
        assert db.read_message("1", **place) == "b"
        assert db.list_keys(**place)["keys"] == ["1"]
        assert db.delete_message("1", **place)
    for refused in ("other:1", "users"):
        text = str(failure(lambda key=refused: db.write_message(key, "a", **ON_ETCD)))  # type: ignore[misc]
        assert "denies the user this key" in text
    assert "denies the user this key" in str(failure(lambda: db.list_keys(**ON_ETCD)))


def test_a_certificate_may_stand_for_the_user(etcd_auth_tls: EtcdServer) -> None:
    assert etcd_auth_tls.tls is not None
    identity = etcd_auth_tls.tls.authority.client(READER.name)
    config = etcd_auth_tls.section() | {"cert_file": str(identity.public), "key_file": str(identity.private)}
    # The user that is given counts.
    assert open_db(config).write_message("page:a", "1", **ON_ETCD)
    del config["username"], config["password"]
    assert "denies" in str(failure(lambda: open_db(config).write_message("page:a", "1", **ON_ETCD)))
    assert open_db(config).read_message("shared:a", **ON_ETCD) is None
    etcd_auth_tls.etcdctl.clear("page:")


def test_tokens_outlive_a_restart_and_changes_of_users(tmp_path: Path) -> None:
    with EtcdServer(tmp_path / "users", tokens=simple_tokens(300)) as etcd:
        db = open_db(etcd.section())
        assert db.write_message("a", "1", **ON_ETCD)
        etcd.restart()
        assert db.write_message("a", "2", **ON_ETCD)
        etcd.etcdctl.add_user(User("another", "the-password"))
        assert db.write_message("a", "3", **ON_ETCD)
        etcd.etcdctl.change_password(User("writer", "another-password"))
        assert type(failure(lambda: db.write_message("a", "4", **ON_ETCD))).__name__ == "AuthenticationFailed"


# What a verb costs.


def requests(etcd: EtcdServer) -> dict[str, int]:
    """How many requests of each kind the server has begun, by its own count."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'^grpc_server_started_total\{grpc_method="(\w+)".*\} (\d+)$', text, re.MULTILINE)
    return {method: int(count) for method, count in found if method in ("Put", "Txn", "Range", "DeleteRange")}


def cost(etcd: EtcdServer, work: Callable[[], object]) -> dict[str, int]:
    """How many requests of each kind `work` makes."""
    before = requests(etcd)
    work()
    after = requests(etcd)
    return {kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind, 0)}


COSTS: dict[str, list[tuple[Callable[[DB], object], dict[str, int]]]] = {
    "write_message": [(lambda db: db.write_message("a", "1", **ON_ETCD), {"Txn": 1})],
    "read_message": [(lambda db: db.read_message("a", **ON_ETCD), {"Range": 1})],
    "ping": [(lambda db: db.ping("etcd"), {"Range": 1})],
    "update_message": [(lambda db: db.update_message("a", "2", **ON_ETCD), {"Txn": 1})],
    "delete_message": [(lambda db: db.delete_message("a", **ON_ETCD), {"Txn": 1})],
    "write_messages": [
        (lambda db: db.write_messages({f"{n:03}": "v" for n in range(300)}, **ON_ETCD), {"Txn": 3}),
        (lambda db: db.write_messages({f"{n:03}": "v" for n in range(257)}, **ON_ETCD), {"Txn": 3}),
        (lambda db: db.write_messages({f"{n}": "v" * 1_000_000 for n in range(2)}, **ON_ETCD), {"Txn": 2}),
    ],
    "read_messages": [
        (lambda db: db.read_messages([f"{n:03}" for n in range(300)], **ON_ETCD), {"Range": 300})
    ],
    "delete_messages": [(lambda db: db.delete_messages([str(n) for n in range(3)], **ON_ETCD), {"Txn": 1})],
    "lists": [
        (lambda db: db.list_keys(page_size=32, **ON_ETCD), {"Range": 1}),
        (lambda db: db.list_keys(page_size=300, **ON_ETCD), {"Range": 2}),
    ],
}


@pytest.mark.parametrize("verb", COSTS)
def test_a_verb_costs_what_the_page_says(verb: str, clean_etcd: EtcdServer) -> None:
    rows = table(section(PAGE, "What a verb costs"), "verb")
    [row] = [row for row in rows if verb in (*code(row[0]), row[0])]
    db = open_db(clean_etcd.section())
    db.write_messages({f"{n:03}": "v" for n in range(300)}, **ON_ETCD)
    db.write_message("a", "1", **ON_ETCD)
    for call, expected in COSTS[verb]:
        assert cost(clean_etcd, lambda call=call: call(db)) == expected  # type: ignore[misc]
    assert set(code(row[1])) & set(COSTS[verb][0][1]), row


def test_a_new_connection_costs_what_the_page_says(clean_etcd: EtcdServer) -> None:
    def write() -> None:
        open_db(clean_etcd.section()).write_message("a", "1", **ON_ETCD)

    assert "A new connection costs one `Range` more" in section(PAGE, "What a verb costs")
    assert cost(clean_etcd, write) == {"Range": 1, "Txn": 1}
    # The guard of the first write knows no revision yet, and the key exists now.
    assert cost(clean_etcd, write) == {"Range": 1, "Txn": 2}


def test_the_first_change_of_many_keys_costs_what_the_page_says(clean_etcd: EtcdServer) -> None:
    db = open_db(clean_etcd.section())
    db.ping("etcd")

    def write() -> None:
        db.write_messages({"a": "1", "b": "2"}, **ON_ETCD)

    assert "The first change of many keys costs one `Txn` more" in section(PAGE, "What a verb costs")
    assert cost(clean_etcd, write) == {"Txn": 2}
    assert cost(clean_etcd, write) == {"Txn": 1}


def test_a_batch_of_the_queue_is_a_transaction(clean_etcd: EtcdServer) -> None:
    db = open_db(clean_etcd.section(), size=1000, timeout=10)
    # The first change of many keys asks for the fence.
    db.write_messages({"a": "1", "b": "2"}, **ON_ETCD)
    before = requests(clean_etcd)
    for number in range(256):
        db.write_queue_message(f"{number:03}", "v", **ON_ETCD)
    db.flush()
    assert requests(clean_etcd)["Txn"] - before.get("Txn", 0) == db.stats()["etcd"]["batches"] == 2


# All or nothing.


@pytest.fixture
def shopkeeper(etcd_auth_simple: EtcdServer) -> Iterator[DB]:
    """The database of a user who may read and write the bucket `shop` alone."""
    etcdctl = etcd_auth_simple.etcdctl
    user = User("page", "the-page-password")
    etcdctl.add_role("page", "readwrite", "shop:")
    etcdctl.add_user(user, "page")
    try:
        yield open_db(etcd_auth_simple.section(user), size=10, timeout=10)
    finally:
        etcdctl.delete_user(user.name)
        etcdctl.run("role", "delete", "page")
        etcdctl.clear("shop:")


ONE_DENIED = {"shop:a": "1", "mine": "2", "shop:b": "3"}


def test_a_direct_write_with_a_refused_key_writes_nothing(shopkeeper: DB) -> None:
    text = str(failure(lambda: shopkeeper.write_messages(ONE_DENIED, **ON_ETCD)))
    documented = "It may be about any of 3 keys. None of them is written."
    assert documented in section(PAGE, "All or nothing")
    assert text.endswith(documented)
    assert shopkeeper.list_keys(bucket="shop", **ON_ETCD)["keys"] == []


def test_a_delete_with_a_refused_key_names_it(shopkeeper: DB) -> None:
    shopkeeper.write_messages({"a": "1", "b": "2"}, bucket="shop", **ON_ETCD)
    text = str(failure(lambda: shopkeeper.delete_messages(["shop:a", "shop:b", "x"], **ON_ETCD)))
    documented = "The key was 'x'. Keys known to be deleted: 2."
    assert documented in section(PAGE, "All or nothing")
    assert text.endswith(documented)
    assert shopkeeper.list_keys(bucket="shop", **ON_ETCD)["keys"] == []


def test_one_refused_key_of_a_batch_does_not_hold_back_the_others(shopkeeper: DB) -> None:
    for key, value in ONE_DENIED.items():
        shopkeeper.write_queue_message(key, value, **ON_ETCD)
    with pytest.raises(DeliveryError) as caught:
        shopkeeper.flush()
    assert [key for key, *_ in caught.value.failed] == ["mine"]
    assert shopkeeper.list_keys(bucket="shop", **ON_ETCD)["keys"] == ["a", "b"]
    shopkeeper.drop_failed()


def test_a_server_that_takes_less_gets_it_in_parts(narrow: EtcdServer) -> None:
    db = open_db(narrow.section())
    records = {f"{number:02}": "v" * 20_000 for number in range(12)}
    assert db.write_messages(records, **ON_ETCD) == 12
    assert db.read_messages(records, **ON_ETCD) == records
    assert db.delete_messages(records, **ON_ETCD) == 12


# The table of errors.


class Narrow(EtcdServer):
    """An etcd that was set to take less than its defaults."""

    operations = 10

    def command(self) -> list[str]:
        narrow = [
            f"--max-txn-ops={self.operations}",
            "--max-request-bytes=100000",
            "--quota-backend-bytes=1000000",
        ]
        return [*super().command(), *narrow]


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[EtcdServer]:
    with Narrow(tmp_path / "narrow") as server:
        yield server


class Narrowest(Narrow):
    operations = 1


@pytest.fixture
def narrowest(tmp_path: Path) -> Iterator[EtcdServer]:
    with Narrowest(tmp_path / "narrowest") as server:
        yield server


@pytest.fixture
def proxy(clean_etcd: EtcdServer) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", clean_etcd.port) as opened:
        yield opened


def without_tls(section: dict[str, Any]) -> dict[str, Any]:
    return {"port": section["port"], "timeout": 1}


def lost_answer(proxy: FaultProxy) -> None:
    db = open_db({"host": "127.0.0.1", "port": proxy.port, "timeout": 0.5})
    db.write_message("a", "1", **ON_ETCD)
    proxy.freeze()
    db.delete_message("a", **ON_ETCD)


def no_answer(proxy: FaultProxy) -> None:
    proxy.black_hole()
    write({"host": "127.0.0.1", "port": proxy.port, "timeout": 0.3})


def behind_a_queued_message() -> None:
    db = open_db({"endpoints": ["localhost:1"], "timeout": 0.3})
    db.write_queue_message("a", "1", **ON_ETCD)
    try:
        db.write_message("a", "2", **ON_ETCD)
    finally:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=0)


def fill(server: EtcdServer) -> None:
    db = open_db({**server.section(), "timeout": 1})
    for number in range(100):
        db.write_message(str(number), "v" * 90_000, **ON_ETCD)


def foreign(server: EtcdServer) -> None:
    server.etcdctl.put("foreign", b"\xff")
    open_db(server.section()).read_message("foreign", **ON_ETCD)


def write(section: dict[str, Any], value: str = "1") -> None:
    open_db(section).write_message("a", value, **ON_ETCD)


# By what the text has: the fixture that it takes, and what provokes it.
ERRORS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "cannot reach": ("tmp_path", lambda _: write({"endpoints": ["localhost:1"]})),
    "if it speaks TLS, set etcd.use_ssl": ("etcd_tls", lambda etcd: write(without_tls(etcd.section()))),
    "Check that the server speaks TLS": (
        "clean_etcd",
        lambda etcd: write({**etcd.section(), "use_ssl": True}),
    ),
    "invalid peer certificate": (
        "etcd_tls",
        lambda etcd: write({**without_tls(etcd.section()), "use_ssl": True}),
    ),
    "received fatal alert": (
        "etcd_mutual_tls",
        lambda etcd: write(
            {**without_tls(etcd.section()), "ca_cert_file": str(etcd.tls.authority.ca_file)},
        ),
    ),
    "asks for a user": ("etcd_auth_simple", lambda etcd: write(without_tls(etcd.section()))),
    "refused the user": ("etcd_auth_simple", lambda etcd: write({**etcd.section(), "password": "no"})),
    "authentication is not enabled there": (
        "clean_etcd",
        lambda etcd: write({**etcd.section(), "username": "a", "password": "b"}),
    ),
    "denies the user this key": ("etcd_auth_simple", lambda etcd: write(etcd.section(READER))),
    "It may be about any of": (
        "etcd_auth_simple",
        lambda etcd: open_db(etcd.section(READER)).write_messages({"a": "1", "b": "2"}, **ON_ETCD),
    ),
    "no answer from": (
        "proxy",
        no_answer,
    ),
    "It may have been done": ("proxy", lost_answer),
    "waits behind an earlier write": ("tmp_path", lambda _: behind_a_queued_message()),
    "is full": ("narrow", fill),
    "the limit is": ("clean_etcd", lambda etcd: write(etcd.section(), "v" * 2_000_000)),
    "refused the message": ("narrow", lambda etcd: write(etcd.section(), "v" * 200_000)),
    "takes fewer keys in one transaction": (
        "narrowest",
        lambda etcd: open_db(etcd.section()).update_message("a", "1", **ON_ETCD),
    ),
    "is not UTF-8": ("clean_etcd", foreign),
}


@pytest.mark.parametrize("text", ERRORS)
def test_each_documented_error_comes_as_documented(text: str, request: pytest.FixtureRequest) -> None:
    rows = table(section(PAGE, "Errors, and what to do"), "the text has")
    [row] = [row for row in rows if code(row[0]) == [text]]
    fixture, provoke = ERRORS[text]
    server = request.getfixturevalue(fixture)
    failed = failure(lambda: provoke(server))
    assert text in str(failed)
    assert type(failed).__name__ in code(row[1])
    if type(failed).__name__ != "LimitExceeded":
        assert getattr(failed, "backend", None) == "etcd"


def test_every_row_of_errors_is_provoked() -> None:
    rows = table(section(PAGE, "Errors, and what to do"), "the text has")
    assert {text for row in rows for text in code(row[0])} == ERRORS.keys()


# In your tests.


def test_the_fixture_for_pytest_works(clean_etcd: EtcdServer, tmp_path: Path) -> None:
    [example] = blocks(section(PAGE, "In your tests"), "python")
    example = example.replace(ETCD, f"localhost:{clean_etcd.port}")
    (tmp_path / "test_example.py").write_text(f"from TetherDB import DB\n\n{example}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
    assert clean_etcd.etcdctl.everything() == {}
