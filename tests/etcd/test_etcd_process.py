"""What the process does meanwhile: Ctrl-C, fork, proxies of the environment, connections that are closed."""

from __future__ import annotations

import json
import os
import signal
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, RecordingHttpProxy
from process.scripts import Program, run

from .support import NAME, PATIENCE, PATIENT, TIMEOUT, VERBS, in_threads, works

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.etcd import EtcdServer
    from TetherDB import DB

# The contract says 0.2 s; the rest is for a machine that does something else as well.
SOON = 0.2 + 0.8
CHILDREN = 1000
# As /proc/net/tcp writes it.
ESTABLISHED = "01"

on_linux = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="there is no /proc here")

OPEN = """
    from TetherDB import DB, DeliveryError, FlushTimeout
    config = json.loads(sys.argv[1])
    config["local"] = {"filepath": "store"}
    db = DB(config)
"""


def program(body: str) -> str:
    """A program that opens the handle `db` as its first argument says."""
    return textwrap.dedent(OPEN) + textwrap.dedent(body)


def config(section: dict[str, Any], **queue: Any) -> str:
    """That argument."""
    return json.dumps({NAME: {"timeout": PATIENT, **section}, "queue_batch": queue})


WAITING = """
    call = compile(sys.argv[2], "<argument>", "exec")
    db.write_message("before", "value", backend="etcd")
    print("connected", flush=True)
    sys.stdin.readline()
    for _ in range(2):
        if "flush" in sys.argv[2] or "stop" in sys.argv[2]:
            db.write_queue_message("queued", "value", backend="etcd")
        print("ready", flush=True)
        try:
            exec(call)
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
        else:
            print("returned", flush=True)
    sys.stdin.readline()
    # What was given up may hold its key until its own end.
    assert db.write_message("after", "value", backend="etcd")
    assert db.read_message("before", backend="etcd") == "value"
    try:
        db.stop()
    except DeliveryError as error:
        assert "stop" in sys.argv[2], error
    print("works", flush=True)
"""

CALLS = {
    "write_message": "db.write_message('key', 'value', backend='etcd')",
    "write_messages": "db.write_messages({f'key-{i}': 'value' for i in range(500)}, backend='etcd')",
    "read_message": "db.read_message('key', backend='etcd')",
    "read_messages": "db.read_messages([f'key-{i}' for i in range(500)], backend='etcd')",
    "update_message": "db.update_message('key', 'value', backend='etcd')",
    "delete_message": "db.delete_message('key', backend='etcd')",
    "delete_messages": "db.delete_messages(['a', 'b'], backend='etcd')",
    "list_messages": "db.list_messages(backend='etcd')",
    "iter_messages": "next(db.iter_messages(backend='etcd'))",
    "ping": "db.ping('etcd')",
    "flush": "db.flush()",
    "stop": "db.stop()",
    "receipt": "db.write_queue_message('other', 'value', backend='etcd', receipt=True).wait()",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ctrl_c_ends_a_call_into_a_black_hole(proxy: FaultProxy, tmp_path: Path, call: str) -> None:
    section = {"host": "127.0.0.1", "port": proxy.port, "timeout": 10}
    with Program(tmp_path, program(WAITING), config(section), call) as child:
        child.expect("connected")
        proxy.half_open(new=False)
        child.tell()
        for _ in range(2):
            child.expect("ready")
            # It is in the call by then, most likely.
            time.sleep(0.4)
            sent = time.monotonic()
            child.send(signal.SIGINT)
            # The clock is that of the whole machine.
            interrupted = float(child.expect("interrupted"))
            assert interrupted - sent < SOON
        proxy.drop_all()
        proxy.pass_through()
        child.tell()
        child.expect("works")
        child.finish().quiet()


FORKING = """
    import select
    count, at_once = int(sys.argv[2]), 40
    assert db.write_message("parent", "value", backend="etcd")
    stopped = threading.Event()

    def keep_busy(number):
        at = 0
        while not stopped.is_set():
            at += 1
            assert db.write_message(f"busy-{number}", str(at), backend="etcd")
            db.write_queue_message(f"queued-{number}", str(at), backend="etcd")
        told.append((number, at))

    told = []
    threads = [threading.Thread(target=keep_busy, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()

    def child(number):
        try:
            # Of what the parent has in flight it knows nothing.
            assert db.stats()["etcd"]["accepted"] == 0
            assert db.write_message(f"child-{number}", str(os.getpid()), backend="etcd")
            if number % 10 == 0:
                db.write_queue_message(f"child-queued-{number}", "value", backend="etcd")
                db.flush(timeout=30)
        except BaseException:
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(9)
        os._exit(0)

    running = {}
    for number in range(count):
        while len(running) >= at_once:
            pid, status = os.wait()
            assert status == 0, (running.pop(pid), status)
            del running[pid]
        pid = os.fork()
        if not pid:
            child(number)
        running[pid] = number
    while running:
        pid, status = os.wait()
        assert status == 0, (running.pop(pid), status)
        del running[pid]
    stopped.set()
    for thread in threads:
        thread.join()
    db.flush(timeout=30)
    for number, at in told:
        assert db.read_message(f"busy-{number}", backend="etcd") == str(at)
        assert db.read_message(f"queued-{number}", backend="etcd") == str(at)
    stats = db.stats()["etcd"]
    assert stats["failed"] == 0, stats
    assert stats["accepted"] == stats["delivered"] + stats["replaced"], stats
    db.stop()
    print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("kind", ["etcd", "etcd_auth_simple", "etcd_mutual_tls"])
def test_a_thousand_children_write_while_their_parent_does(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    server: EtcdServer = request.getfixturevalue(kind)
    server.etcdctl.clear()
    # All of them on the plainest server; the others show that tokens and TLS are each child's own.
    count = CHILDREN if kind == "etcd" else 100
    done = run(tmp_path, program(FORKING), config(server.section(), timeout=0.02), str(count), timeout=60)
    assert done.quiet() == "done\n"
    stored = server.etcdctl.everything("child-")
    pids = {stored[f"child-{number}"] for number in range(count)}
    # The number of a process that has ended may be given again.
    assert len(pids) > count / 2
    assert sum(1 for key in stored if key.startswith("child-queued-")) == -(-count // 10)


HOLDING = """
    db.write_message("parent", "value", backend="etcd")
    number = os.fork()
    if not number:
        db.write_message("child", "value", backend="etcd")
        print("connected", flush=True)
        sys.stdin.readline()
        os._exit(0)
    os.waitpid(number, 0)
    # The child has left its own connections behind, and not those of its parent.
    db.write_message("parent", "again", backend="etcd")
    db.stop()
"""


def test_a_child_has_a_connection_of_its_own(proxy: FaultProxy, tmp_path: Path) -> None:
    section = {"host": "127.0.0.1", "port": proxy.port}
    with Program(tmp_path, program(HOLDING), config(section)) as child:
        child.expect("connected")
        assert proxy.open == 2
        child.tell()
        child.finish().quiet()
    assert proxy.accepted == 2


VIA_PROXY = """
    db.write_message("key", "value", backend="etcd")
    print(db.read_message("key", backend="etcd"))
    db.stop()
"""


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("kind", ["etcd", "etcd_tls"])
def test_a_proxy_of_the_environment_gets_nothing(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    host: str,
    kind: str,
) -> None:
    server: EtcdServer = request.getfixturevalue(kind)
    for other in list(os.environ):
        if other.lower().endswith("_proxy"):
            monkeypatch.delenv(other)
    with RecordingHttpProxy() as http_proxy:
        monkeypatch.setenv(name, http_proxy.url)
        section = {**server.section(), "host": host}
        assert run(tmp_path, program(VIA_PROXY), config(section)).quiet() == "value\n"
        assert http_proxy.accepted == 0


def established(port: int) -> int:
    """Connections of this process to a port, as the system sees them."""
    mine = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(
        1
        for _, _, remote, state, _, _, _, _, _, inode, *_ in lines
        if state == ESTABLISHED and remote.endswith(f":{port:04X}") and f"socket:[{inode}]" in mine
    )


def until_closed(count: Callable[[], int]) -> None:
    """The runtime closes a connection a moment after it was let go."""
    deadline = time.monotonic() + 2
    while count():
        assert time.monotonic() < deadline, "it is still open"
        time.sleep(0.01)


@pytest.mark.parametrize("end", ["stop", "with"])
def test_a_stopped_handle_has_no_connection(proxy: FaultProxy, connect: Callable[..., DB], end: str) -> None:
    section = {"host": "127.0.0.1", "port": proxy.port}
    db = connect(section)
    if end == "with":
        with db:
            in_threads(*([lambda: works(db)] * 10))
            assert proxy.open >= 1
    else:
        in_threads(*([lambda: works(db)] * 10))
        db.write_queue_message("key", "value", backend=NAME)
        assert proxy.open >= 1
        db.stop()
    until_closed(lambda: proxy.open)
    works(db)
    assert proxy.open == 1
    db.stop()
    until_closed(lambda: proxy.open)


@on_linux
def test_the_system_sees_no_connection_after_stop(own_etcd: EtcdServer, connect: Callable[..., DB]) -> None:
    dbs = [connect(own_etcd.section()) for _ in range(5)]
    for db in dbs:
        works(db)
    assert established(own_etcd.port) >= 5
    for db in dbs:
        db.stop()
    until_closed(lambda: established(own_etcd.port))


@on_linux
def test_stop_closes_what_hangs(proxy: FaultProxy, connect: Callable[..., DB]) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port}, timeout=TIMEOUT)
    works(db)
    proxy.freeze()
    with pytest.raises(TimeoutError):
        works(db)
    db.stop()
    assert established(proxy.port) == 0


def test_one_handle_has_one_connection(proxy: FaultProxy, connect: Callable[..., DB]) -> None:
    db = connect({"host": "127.0.0.1", "port": proxy.port})
    in_threads(*([lambda: works(db)] * 20))
    for verb in VERBS.values():
        verb(db)
    assert proxy.accepted == 1


AT_EXIT = """
    for at in range(1000):
        db.write_queue_message(f"exit-{at}", "value", backend="etcd")
    if sys.argv[2] == "thread":
        threading.Thread(target=lambda: db.write_message("exit-thread", "value", backend="etcd")).start()
    elif sys.argv[2] == "raise":
        raise SystemExit(0)
"""


@pytest.mark.parametrize("way", ["end", "raise", "thread"])
def test_the_end_of_the_program_delivers_what_is_queued(
    clean_etcd: EtcdServer, tmp_path: Path, way: str
) -> None:
    run(tmp_path, program(AT_EXIT), config(clean_etcd.section(), timeout=60), way).quiet()
    assert len(clean_etcd.etcdctl.everything("exit-")) == 1000 + (way == "thread")


def test_the_end_of_the_program_does_not_wait_for_ever(proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.black_hole()
    section = {"host": "127.0.0.1", "port": proxy.port, "timeout": TIMEOUT}
    begun = time.monotonic()
    done = run(tmp_path, program(AT_EXIT), config(section, exit_timeout=1.0), "end", timeout=PATIENCE)
    assert time.monotonic() - begun < 1.0 + 4.0
    assert "1000" in done.err
