"""Ctrl-C ends a call that waits for a service which answers nothing; the handle is as good as before."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from process.scripts import Program

from .support import SOON, TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from dynamodb_stub import DynamoDBStub
    from fault_proxy import FaultProxy

PROGRAM = """
    from TetherDB import DB
    section = {"table_name": "messages", "endpoint_url": sys.argv[1], "timeout": 100}
    section |= eval(sys.argv[4])
    db = DB({"local": {"filepath": "x"}, "dynamodb": section, "queue_batch": {"timeout": 0.01}})
    to = {"backend": "dynamodb"}
    exec(sys.argv[2])
    for _ in range(2):
        print("ready", flush=True)
        try:
            exec(sys.argv[3])
        except KeyboardInterrupt:
            print("interrupted", time.monotonic(), flush=True)
        else:
            print("returned", flush=True)
    sys.stdin.readline()
    assert db.write_message("new", "value", **to)
    assert db.read_message("new", **to) == "value"
    # What was interrupted goes on to its own end in the background.
    try:
        db.stop(timeout=1)
    except Exception as error:
        print(type(error).__name__, file=sys.stderr)
    print("works", flush=True)
    os._exit(0)
"""
QUEUED = "db.write_queue_message('queued', 'value', **to)"

CALLS = {
    "write_message": "db.write_message('never', 'value', **to)",
    "read_message": "db.read_message('never', **to)",
    "update_message": "db.update_message('never', 'value', **to)",
    "delete_message": "db.delete_message('never', **to)",
    "write_messages": "db.write_messages({f'never{i}': 'value' for i in range(300)}, **to)",
    "read_messages": "db.read_messages([f'never{i}' for i in range(300)], **to)",
    "delete_messages": "db.delete_messages([f'never{i}' for i in range(300)], **to)",
    "list_messages": "db.list_messages(**to)",
    "iter_messages": "list(db.iter_messages(**to))",
    "ping": "db.ping('dynamodb')",
    "flush": f"{QUEUED}\ndb.flush()",
    "receipt": "db.write_queue_message('queued', 'value', **to, receipt=True).wait()",
    "behind-queued": f"{QUEUED}\ndb.write_message('queued', 'later', **to)",
}


def interrupt(program: Program) -> None:
    """Ctrl-C once it has got into its call, which must end soon."""
    program.expect("ready")
    time.sleep(0.3)
    sent = time.monotonic()
    program.send(signal.SIGINT)
    ended = float(program.expect("interrupted"))
    assert ended - sent < SOON


@pytest.mark.parametrize("connected", [False, True], ids=["at-first", "later"])
@pytest.mark.parametrize("name", CALLS)
def test_interrupts_what_waits_for_an_answer(
    tmp_path: Path, proxy: FaultProxy, stub: DynamoDBStub, name: str, connected: bool
) -> None:
    call = CALLS[name]
    before = "db.ping('dynamodb')\nprint('connected', flush=True)\nsys.stdin.readline()" if connected else ""
    if not connected:
        proxy.black_hole()
    with Program(tmp_path, PROGRAM, f"http://{proxy.address}", before, call, "{}") as program:
        if connected:
            program.expect("connected")
            proxy.half_open(new=False)
            program.tell()
        interrupt(program)
        interrupt(program)
        proxy.pass_through()
        program.tell()
        program.expect("works")
    assert "new" in stub.texts(TABLE)


def test_interrupts_the_creation_of_a_table(tmp_path: Path, proxy: FaultProxy, stub: DynamoDBStub) -> None:
    proxy.black_hole()
    section = "{'create_table': True}"
    call = CALLS["write_message"]
    with Program(tmp_path, PROGRAM, f"http://{proxy.address}", "", call, section) as program:
        interrupt(program)
        interrupt(program)
        proxy.pass_through()
        # The first that came is still at it, and waits for an answer that never comes.
        proxy.drop_all()
        program.tell()
        program.expect("works")
    assert "new" in stub.texts(TABLE)


def test_interrupts_the_search_for_credentials(
    tmp_path: Path, proxy: FaultProxy, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{silent_port}/")
    with Program(tmp_path, PROGRAM, f"http://{proxy.address}", "", CALLS["ping"], "{}") as program:
        interrupt(program)
