"""A forked child's handle works, while its parent has connections open and requests in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from process.scripts import run

from .support import TABLE

if TYPE_CHECKING:
    from pathlib import Path

    from dynamodb_stub import DynamoDBStub
    from servers.dynamodb import DynamoDb

CHILDREN = 1000

# Its arguments: endpoint, table, children. They come in batches, each child writes once.
PROGRAM = """
    import faulthandler
    from TetherDB import DB
    url, table, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    section = {"table_name": table, "endpoint_url": url, "timeout": 60}
    db = DB({"local": {"filepath": "x"}, "dynamodb": section, "queue_batch": {"timeout": 0.01, "size": 25}})
    to = {"backend": "dynamodb"}
    assert db.write_message("parent", "value", **to)
    done, calls = threading.Event(), [0]

    def keep_busy(at):
        while not done.is_set():
            db.write_queue_message(f"queued-{at}-{calls[0] % 50}", "value", **to)
            db.write_message(f"busy-{at}", "value", **to)
            calls[0] += 1
            # The children are what this is about.
            time.sleep(0.01)

    threads = [threading.Thread(target=keep_busy, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()

    def child(at):
        faulthandler.dump_traceback_later(80, exit=True)
        try:
            assert db.write_message(f"child-{at}", f"{at}", **to)
        except BaseException:
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(9)
        os._exit(0)

    begun = time.monotonic()
    running = []
    for at in range(count):
        number = os.fork()
        if not number:
            child(at)
        running.append(number)
        if len(running) == 20 or at == count - 1:
            for number in running:
                code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
                assert code == 0, code
            running.clear()
    print("took", time.monotonic() - begun)
    so_far = calls[0]
    # The parent's own requests went on, and go on.
    while calls[0] < so_far + 10:
        time.sleep(0.01)
    done.set()
    for thread in threads:
        thread.join()
    db.flush()
    assert db.read_message("parent", **to) == "value"
    stats = db.stats()["dynamodb"]
    assert stats["failed"] == 0 and stats["pending"] == 0, stats
    db.stop()
    print("calls", calls[0])
"""


@pytest.mark.timeout(300)
def test_a_thousand_children_write_once_each(dynamodb: DynamoDb, dynamodb_table: str, tmp_path: Path) -> None:
    out = run(tmp_path, PROGRAM, dynamodb.url, dynamodb_table, str(CHILDREN), timeout=240).quiet()
    took = float(out.split()[1])
    stored = dynamodb.everything(dynamodb_table)
    children = {key: value for key, value in stored.items() if key.startswith("child-")}
    assert children == {f"child-{at}": f"{at}" for at in range(CHILDREN)}
    assert {"busy-0", "busy-1", "parent"} <= set(stored)
    assert took < 90


def test_children_of_a_parent_whose_requests_are_held(stub: DynamoDBStub, tmp_path: Path) -> None:
    stub.service_time = 0.05
    run(tmp_path, PROGRAM, stub.endpoint, TABLE, "60").quiet()
    stored = stub.texts(TABLE)
    assert {f"child-{at}" for at in range(60)} <= set(stored)
    assert all(len(stub.history(TABLE, f"child-{at}")) == 1 for at in range(60))


def test_no_child_uses_a_connection_of_its_parent(stub: DynamoDBStub, tmp_path: Path) -> None:
    run(tmp_path, PROGRAM, stub.endpoint, TABLE, "30").quiet()
    children = [request for request in stub.requests() if request.keys[0][1].startswith("child-")]
    others = {request.connection for request in stub.requests()} - {one.connection for one in children}
    assert len({request.connection for request in children}) == len(children) == 30
    assert others


EVERY_VERB = """
    from TetherDB import DB
    section = {"table_name": sys.argv[2], "endpoint_url": sys.argv[1], "timeout": 60}
    db = DB({"local": {"filepath": "x"}, "dynamodb": section, "queue_batch": {"timeout": 0.01}})
    to = {"backend": "dynamodb"}
    assert db.write_messages({f"k{i}": "parent" for i in range(100)}, **to) == 100
    db.write_queue_message("queued", "parent", **to)
    number = os.fork()
    if not number:
        try:
            assert len(db.read_messages([f"k{i}" for i in range(100)], **to)) == 100
            assert db.update_message("k0", "child", **to)
            assert db.delete_messages(["k1", "k2", "missing"], **to) == 2
            db.write_queue_message("of the child", "child", **to)
            db.flush()
            assert db.stats()["dynamodb"]["delivered"] == 1
            assert len(list(db.iter_messages(**to))) in (99, 100)
            grandchild = os.fork()
            if not grandchild:
                os._exit(0 if db.write_message("grandchild", "value", **to) else 9)
            assert os.waitpid(grandchild, 0)[1] == 0
            db.stop()
        except BaseException:
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(9)
        os._exit(0)
    assert os.waitpid(number, 0)[1] == 0
    assert db.read_message("k0", **to) == "child"
    assert db.read_message("grandchild", **to) == "value"
    db.flush()
    assert db.read_message("queued", **to) == "parent"
    db.stop()
"""


def test_every_verb_works_in_a_child(stub: DynamoDBStub, tmp_path: Path) -> None:
    run(tmp_path, EVERY_VERB, stub.endpoint, TABLE).quiet()
    # What the parent had queued is the parent's to deliver.
    assert len(stub.history(TABLE, "queued")) == 1
    assert len(stub.history(TABLE, "of the child")) == 1
