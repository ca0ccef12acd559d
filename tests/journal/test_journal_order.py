"""A direct write is never overtaken by a message that was queued before it, not even after a crash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from .support import HOUR, Revisions, every_sync, run_killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.etcd import EtcdServer
    from TetherDB import DB

    History = Callable[[str], list[str | None]]

# A verb, and what it leaves of the key that was "queued" before.
VERBS: dict[str, tuple[str, str | None]] = {
    "write": ("assert db.write_message('k', 'direct', backend=name)", "direct"),
    "update": ("assert db.update_message('k', 'direct', backend=name)", "direct"),
    "delete": ("assert db.delete_message('k', backend=name)", None),
    "write-many": ("assert db.write_messages({'a': 'a', 'k': 'direct'}, backend=name) == 2", "direct"),
    "delete-many": ("assert db.delete_messages(['a', 'k'], backend=name) == 1", None),
}
every_verb = pytest.mark.parametrize("verb", VERBS)

# What is queued on "other" stays in the journal, so that there is something to replay.
PROGRAM = """
    sync, etcd, flush, verb = json.loads(sys.argv[1])
    name = "etcd" if etcd else "local"
    db = open_db(etcd=etcd, journal_sync=sync)
    db.write_queue_message("k", "older", backend=name)
    db.write_queue_message("k", "queued", backend=name)
    if flush:
        db.flush()
    exec(verb)
    db.write_queue_message("other", "text", backend=name)
"""


def crash(folder: Path, verb: str, *, sync: str, flush: bool, etcd: dict[str, Any] | None = None) -> None:
    arguments = json.dumps([sync, etcd, flush, VERBS[verb][0]])
    assert run_killed(folder, PROGRAM, arguments).err == ""


@every_verb
@pytest.mark.parametrize("flush", [True, False], ids=["flushed", "behind"])
def test_a_direct_verb_stands_after_a_crash(
    tmp_path: Path, open_journal: Callable[..., DB], verb: str, flush: bool
) -> None:
    crash(tmp_path, verb, sync="always", flush=flush)
    db = open_journal()
    db.flush()
    assert db.read_message("other") == "text", "nothing was replayed"
    assert db.read_message("k") == VERBS[verb][1]
    # Only what was pending has been delivered again.
    assert db.stats()["local"]["delivered"] == 1


@pytest.mark.parametrize("sync", ["interval", "never"])
def test_it_stands_however_the_journal_is_synced(
    tmp_path: Path, open_journal: Callable[..., DB], sync: str
) -> None:
    crash(tmp_path, "write", sync=sync, flush=True)
    db = open_journal()
    db.flush()
    assert db.read_messages(["k", "other"]) == {"k": "direct", "other": "text"}


@pytest.mark.parametrize("verb", ["write", "delete-many"])
@pytest.mark.parametrize("flush", [True, False], ids=["flushed", "behind"])
def test_a_direct_verb_stands_in_etcd(
    tmp_path: Path, clean_etcd: EtcdServer, open_journal: Callable[..., DB], verb: str, flush: bool
) -> None:
    revisions = Revisions(clean_etcd)
    crash(tmp_path, verb, sync="always", flush=flush, etcd={**clean_etcd.section(), "timeout": 20})
    db = open_journal(etcd={**clean_etcd.section(), "timeout": 20})
    db.flush()
    assert db.read_message("other", backend="etcd") == "text", "nothing was replayed"
    assert db.read_message("k", backend="etcd") == VERBS[verb][1]
    expected = ["older", "queued", "direct"] if verb == "write" else ["older", "queued"]
    # A value may be known by one revision alone, if both came in one transaction.
    seen = revisions.texts("k")
    assert seen == expected[-len(seen) :]


@every_sync
def test_what_is_queued_after_a_direct_write_comes_after_it(
    tmp_path: Path, history: History, open_journal: Callable[..., DB], sync: str
) -> None:
    body = """
        db = open_db(journal_sync=sys.argv[1])
        db.write_queue_message("k", "1")
        db.write_message("k", "2")
        db.write_queue_message("k", "3")
        db.write_queue_message("k", "4")
    """
    run_killed(tmp_path, body, sync)
    assert history("k") == ["1", "2"]
    open_journal().flush()
    assert history("k") == ["1", "2", "3", "4"]


@every_verb
def test_the_first_direct_verb_waits_for_what_the_journal_holds(
    tmp_path: Path, history: History, open_journal: Callable[..., DB], verb: str
) -> None:
    body = """
        db = open_db()
        for turn in range(500):
            db.write_queue_message("k", f"{turn}")
    """
    run_killed(tmp_path, body)
    db = open_journal(queue_batch={"size": 1})
    exec(VERBS[verb][0], {"db": db, "name": "local"})
    assert db.read_message("k") == VERBS[verb][1]
    db.flush()
    seen = history("k")
    assert seen[:500] == [f"{turn}" for turn in range(500)]
    assert seen[500:] == [VERBS[verb][1]]


def test_the_first_queued_message_waits_for_what_the_journal_holds(
    tmp_path: Path, history: History, open_journal: Callable[..., DB]
) -> None:
    run_killed(tmp_path, "db = open_db()\nfor i in range(300): db.write_queue_message('k', f'{i}')\n")
    db = open_journal(queue_batch={"size": 1})
    for turn in range(300, 600):
        db.write_queue_message("k", f"{turn}")
    db.flush()
    assert history("k") == [f"{turn}" for turn in range(600)]


def test_a_verb_after_stop_comes_after_what_another_process_has_left(
    tmp_path: Path, history: History, open_journal: Callable[..., DB]
) -> None:
    db = open_journal(queue_batch={"timeout": HOUR})
    db.write_message("k", "mine")
    db.stop()
    run_killed(tmp_path, "db = open_db()\ndb.write_queue_message('k', 'theirs')\n")
    # The handle takes the journal back, with what is in it.
    assert db.write_message("k", "mine again")
    assert history("k") == ["mine", "theirs", "mine again"]
