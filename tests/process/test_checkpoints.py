"""`flush` carries the write-ahead log into the file, and what it could not do it does the next time."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from .scripts import Program, prepare, run

# Sees the file alone, without the log beside it, as `dbm.sqlite3` does on a medium that cannot be written.
IMMUTABLE = """
import sqlite3, sys
store = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro&immutable=1", uri=True)
print(*sorted(bytes(key).decode() for (key,) in store.execute("SELECT key FROM Dict")))
"""

WRITES = """
    from TetherDB import DB
    db = DB({"local": {"filepath": "store"}, "queue_batch": {"timeout": 0}})
    db.write_message("before", "text")
    db.flush()
    db.write_message("before", "changed")
    print("ready", flush=True)
    sys.stdin.readline()
    db.write_message("direct", "text")
    db.write_queue_message("queued", "text")
    db.flush()
    print("flushed", flush=True)
    sys.stdin.readline()
    # Nothing was written since.
    db.flush()
    print("flushed", flush=True)
    sys.stdin.readline()
    db.stop()
"""


def in_the_bare_file(path: Path) -> list[str]:
    command = [sys.executable, "-I", "-c", IMMUTABLE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


def test_a_checkpoint_that_a_reader_has_blocked_is_made_by_the_next_flush(tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare(store)
    with (
        Program(tmp_path, WRITES) as program,
        closing(sqlite3.connect(store, isolation_level=None)) as reader,
    ):
        program.expect("ready")
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM Dict").fetchall() == [(1,)]
        program.tell()
        program.expect("flushed")
        # The reader needs the file as it is.
        assert in_the_bare_file(store) == ["before"]
        reader.execute("COMMIT")
        program.tell()
        program.expect("flushed")
        assert in_the_bare_file(store) == ["before", "direct", "queued"]
        assert store.with_name("store-wal").stat().st_size == 0
        program.tell()
        program.finish().quiet()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("errors", ["raise", "log"])
@pytest.mark.parametrize("logging_level", ["info", "none"])
def test_flush_warns_when_only_its_checkpoint_fails(tmp_path: Path, errors: str, logging_level: str) -> None:
    source = """
        import resource
        from TetherDB import DB
        errors, level = sys.argv[1:]
        lines = []

        class Lines(logging.Handler):
            def emit(self, record):
                lines.append((record.levelname, record.getMessage()))

        logging.getLogger("TetherDB").addHandler(Lines())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        db = DB({"errors": errors, "logging": level, "local": {"filepath": "store"}})
        for number in range(30):
            db.write_message(f"direct-{number:02}", "x" * 10_000)
        assert db.write_queue_message("queued", "text", receipt=True).wait(30)
        # Everything is in the log. The file itself may not grow that far.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        for _ in range(2):
            del lines[:]
            assert db.flush() is None
            if level == "none":
                assert lines == []
                continue
            ((name, text),) = lines
            assert name == "WARNING", lines
            assert "checkpoint" in text and "local" in text, lines
        assert len(dict(db.iter_messages())) == 31
        assert db.failed_messages() == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        del lines[:]
        db.flush()
        assert lines == []
        print("ready", flush=True)
        sys.stdin.readline()
        db.stop()
        assert lines == []
    """
    with Program(tmp_path, source, errors, logging_level) as program:
        program.expect("ready")
        expected = [*(f"direct-{number:02}" for number in range(30)), "queued"]
        assert in_the_bare_file(tmp_path / "store") == expected
        program.tell()
        program.finish().quiet()


def test_a_reader_that_stays_keeps_flush_from_nothing_but_the_checkpoint(tmp_path: Path) -> None:
    # It neither fails nor warns: readers come and go.
    store = tmp_path / "store"
    prepare(store, {"before": "text"})
    source = """
        from TetherDB import DB
        logging.basicConfig(stream=sys.stderr)
        db = DB({"local": {"filepath": "store"}})
        for number in range(3):
            db.write_queue_message(f"{number}", "text")
            db.flush()
            assert db.read_message(f"{number}") == "text"
    """
    with closing(sqlite3.connect(store, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM Dict").fetchall() == [(1,)]
        run(tmp_path, source).quiet()
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM Dict").fetchall() == [(4,)]
