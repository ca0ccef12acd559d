"""A password and a private key are never seen: in no output, log, `repr` or exception."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy
from process.scripts import run
from servers.etcdctl import User
from servers.process import free_ports

from .support import NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.certificates import Authority
    from servers.etcd import EtcdServer

CANARY = "canary-Pa55word-7f3e9"

# Whatever can be shown of a handle and of what it raises is shown. Its argument is a list of configurations.
SHOWING = """
    import copy, pickle, traceback
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s %(message)s %(args)s")
    from TetherDB import DB

    def show(error):
        print("".join(traceback.format_exception(error)))
        left = [error]
        while left:
            one = left.pop()
            if one is not None:
                print(str(one), repr(one), one.args, vars(one), pickle.dumps(one, 0))
                left += [one.__cause__, one.__context__]

    def on_error(key, value, backend, error):
        print(key, value, backend)
        show(error)

    VERBS = [
        lambda db: db.write_message("key", "value", backend="etcd"),
        lambda db: db.update_message("key", {"a": 1}, backend="etcd"),
        lambda db: db.read_message("key", backend="etcd"),
        lambda db: db.write_messages({f"key-{at}": "value" for at in range(200)}, backend="etcd"),
        lambda db: db.delete_messages(["key"], backend="etcd"),
        lambda db: db.list_messages(backend="etcd"),
        lambda db: db.ping("etcd"),
        lambda db: db.write_queue_message("key", "value", backend="etcd"),
        lambda db: db.flush(),
        lambda db: db.stop(timeout=1),
    ]

    def show_all(config, errors):
        config = {**config, "local": {"filepath": "store"}, "debug": True, "errors": errors}
        config["queue_batch"] = {"timeout": 0.01, "retry": {"give_up_after": 0.2}}
        try:
            db = DB(config, on_error=on_error)
        except Exception as error:
            print("refused")
            return show(error)
        print(repr(db), str(db), f"{db}", dir(db), sys.getsizeof(db))
        for way in (vars, copy.copy, copy.deepcopy, pickle.dumps):
            try:
                print(way(db))
            except Exception as error:
                print(error)
        for verb in VERBS:
            try:
                print(verb(db))
            except Exception as error:
                show(error)
        print(db.stats(), db.failed_messages())
        db.__enter__()
        print(db)
        db.stop()

    # Each waits for its server most of the time.
    threads = [
        threading.Thread(target=show_all, args=(config, errors))
        for config in json.loads(sys.argv[1])
        for errors in ("raise", "log")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("shown")
"""


def forms(secret: bytes) -> list[str]:
    """How a secret may look in an output."""
    text = secret.decode()
    return [
        text,
        base64.b64encode(secret).decode().rstrip("="),
        secret.hex(),
        # As Rust and Python show a list of bytes.
        ", ".join(str(byte) for byte in secret),
        # As protocol buffers are shown.
        "".join(f"\\x{byte:02x}" for byte in secret),
    ]


def hidden(folder: Path, secrets: list[bytes], *sections: dict[str, Any]) -> str:
    """What a program says with each of these sections; none of the secrets is in it."""
    configs = [{NAME: {"timeout": 0.7, **section}} for section in sections]
    done = run(folder, SHOWING, json.dumps(configs))
    assert done.code == 0, done.err
    assert done.out.endswith("shown\n")
    said = done.out + done.err
    assert "panicked" not in said
    for secret in secrets:
        for form in forms(secret):
            assert form not in said, said[max(0, said.index(form) - 400) :][:900]
    return said


@pytest.fixture(autouse=True)
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever logs by a variable of the environment does so."""
    for name, value in {
        "RUST_LOG": "trace",
        "RUST_BACKTRACE": "1",
        "RUST_LIB_BACKTRACE": "1",
        "GRPC_TRACE": "all",
        "GRPC_VERBOSITY": "debug",
        "PYTHONDEVMODE": "1",
        "PYTHONWARNINGS": "default",
    }.items():
        monkeypatch.setenv(name, value)


def test_the_password_is_never_seen(
    etcd: EtcdServer,
    etcd_auth_simple: EtcdServer,
    etcd_auth_jwt: EtcdServer,
    tmp_path: Path,
) -> None:
    server = etcd_auth_simple
    canary = User("canary", CANARY)
    for each in (server, etcd_auth_jwt):
        each.etcdctl.add_user(canary, "everything")
    with FaultProxy("127.0.0.1", server.port) as hole, FaultProxy("127.0.0.1", server.port) as broken:
        hole.black_hole()
        broken.reset_answers(after=40)
        said = hidden(
            tmp_path,
            [CANARY.encode()],
            # It is right.
            server.section(canary),
            etcd_auth_jwt.section(canary),
            # It is the password of somebody else.
            server.section() | {"password": CANARY},
            # There are no users.
            etcd.section() | {"username": "canary", "password": CANARY},
            # Nobody is there, or somebody who does not answer.
            {"port": free_ports(1)[0], "username": "canary", "password": CANARY},
            {"port": hole.port, "username": "canary", "password": CANARY},
            {"port": broken.port, "username": "canary", "password": CANARY},
        )
    for each in (server, etcd_auth_jwt):
        each.etcdctl.delete_user(canary.name)
    assert "AuthenticationFailed" in said
    assert "OperationTimeout" in said
    assert "Unavailable" in said
    assert "Write successful to etcd backend" in said


def test_the_password_is_not_in_what_a_bad_configuration_raises(tmp_path: Path) -> None:
    said = hidden(
        tmp_path,
        [CANARY.encode()],
        {"password": CANARY},
        {"username": "canary", "pasword": CANARY},
        {"username": "canary", "password": [CANARY]},
        {"username": ["x"], "password": CANARY},
        {"username": "canary", "password": f"{CANARY}\0"},
        {"endpoints": [f"http://canary:{CANARY}@127.0.0.1:2379"]},
        {"endpoints": [f"canary:{CANARY}@127.0.0.1:2379/path"]},
        {"host": f"canary:{CANARY}@127.0.0.1"},
        {"username": "canary", "password": CANARY, "use_ssl": "yes"},
        {"username": "canary", "password": CANARY, "timeout": -1, "unknown": 1},
    )
    assert said.count("refused") == 20, said


def private(path: Path) -> list[bytes]:
    """The lines of a private key, but for the first and the last."""
    lines = path.read_bytes().splitlines()[1:-1]
    return [line for line in lines if len(line) > 30]


def test_the_private_key_is_never_seen(
    etcd: EtcdServer, etcd_mutual_tls: EtcdServer, etcd_tls: EtcdServer, authority: Authority, tmp_path: Path
) -> None:
    identity = authority.client("anybody")
    section = etcd_mutual_tls.section()
    damaged = tmp_path / "damaged.key"
    damaged.write_bytes(identity.private.read_bytes()[:-60] + b"\n-----END PRIVATE KEY-----\n")
    with FaultProxy("127.0.0.1", etcd_mutual_tls.port) as hole:
        hole.black_hole()
        said = hidden(
            tmp_path,
            private(identity.private),
            section,
            section | {"port": etcd_tls.port},
            section | {"port": etcd.port},
            section | {"port": hole.port},
            section | {"port": free_ports(1)[0]},
            # The wrong files, or the right ones for another purpose.
            section | {"cert_file": str(authority.client("another").public)},
            section | {"key_file": str(damaged)},
            section | {"ca_cert_file": section["key_file"]},
            section | {"cert_file": section["key_file"], "key_file": section["cert_file"]},
            section | {"cert_file": section["key_file"]},
            {"port": etcd.port, "key_file": section["key_file"]},
            # Somebody gives the content instead of the path.
            section | {"key_file": identity.private.read_text()},
            section | {"cert_file": identity.private.read_text()},
            {"password": identity.private.read_text()},
        )
    assert "Write successful to etcd backend" in said


def test_the_token_of_a_session_is_never_seen(etcd_auth_jwt: EtcdServer, tmp_path: Path) -> None:
    section = etcd_auth_jwt.section()
    said = hidden(tmp_path, [section["password"].encode()], section)
    # How every such token begins: {"alg": in base 64.
    assert "eyJhbGciOi" not in said


def test_an_opened_handle_shows_where_it_leads(
    etcd_auth_simple: EtcdServer, connect: Callable[..., object]
) -> None:
    text = repr(connect(etcd_auth_simple.section()))
    assert NAME in text
    assert etcd_auth_simple.section()["password"] not in text
