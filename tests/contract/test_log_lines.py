"""The log lines, to the letter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from TetherDB import DB, BackendError, DeliveryError, OperationTimeout

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

LINES = """\
Local backend initialized at: localdb
Background worker started.
Message queued [local]: key3 -> {"name": "Charlie"}
Write successful to local backend: key3 -> {"name": "Charlie"}
Background worker stopped.
Database resources released and closed.
""".splitlines()

PROGRAM = """
import logging, sys
from TetherDB import DB
for number in range(int(sys.argv[2])):
    with DB(eval(sys.argv[1])) as db:
        db.write_queue_message("key3", {"name": "Charlie"})
"""


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.name for record in caplog.records} <= {"TetherDB"}
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


@pytest.mark.parametrize("config", [{"debug": True}, {"logging": "debug"}], ids=repr)
def test_with_debug_the_lines_are_those_of_the_contract_in_that_order(
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    with DB(config) as db:
        db.write_queue_message("key3", {"name": "Charlie"})
    assert lines(caplog) == [f"DEBUG {line}" for line in LINES]


@pytest.mark.parametrize("config", [{"debug": True}, {"logging": "debug"}], ids=repr)
def test_with_debug_and_no_handler_anywhere_the_lines_go_to_stderr(
    config: dict[str, Any], run_python: Run
) -> None:
    done = run_python(PROGRAM, repr(config), "1")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"DEBUG: {line}" for line in LINES]


def test_two_handles_with_debug_do_not_double_the_lines_on_stderr(run_python: Run) -> None:
    done = run_python(PROGRAM, "{'debug': True}", "2")
    assert done.stderr.splitlines() == [f"DEBUG: {line}" for line in LINES] * 2


@pytest.mark.parametrize(
    "set_up",
    [
        "logging.basicConfig(stream=sys.stdout, level=logging.DEBUG, format='%(levelname)s=%(message)s')",
        "h = logging.StreamHandler(sys.stdout)\n"
        "h.setFormatter(logging.Formatter('%(levelname)s=%(message)s'))\n"
        "logging.getLogger('TetherDB').addHandler(h)",
    ],
    ids=["root", "ours"],
)
def test_with_a_handler_of_the_users_own_nothing_is_added(set_up: str, run_python: Run) -> None:
    done = run_python(PROGRAM.replace("for number", f"{set_up}\nfor number"), "{'debug': True}", "1")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"DEBUG={line}" for line in LINES]


def test_nothing_configures_the_root_logger(run_python: Run) -> None:
    program = PROGRAM + "print(logging.getLogger().handlers, logging.getLogger().level)"
    done = run_python(program, "{'debug': True}", "1")
    assert done.stdout == "[] 30\n"


@pytest.mark.parametrize("config", ["{}", "{'debug': False}", "{'logging': 'info'}", "{'logging': 'none'}"])
def test_without_debug_nothing_is_said(config: str, run_python: Run) -> None:
    done = run_python(PROGRAM, config, "1")
    assert (done.stdout, done.stderr) == ("", "")


def test_without_debug_nothing_is_said_even_where_the_logger_listens(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), open_db() as db:
        db.write_message("k", "v")
        db.write_queue_message("q", "v")
    assert lines(caplog) == []


def test_a_direct_write_logs_its_line_before_it_returns(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_message("k", {"a": 1}, "b")
    assert lines(caplog) == ['DEBUG Write successful to local backend: b:k -> {"a": 1}']


def test_a_bulk_write_logs_a_line_for_each_message(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_messages({"k": "v", "l": "w"}, "b")
    assert lines(caplog) == [
        "DEBUG Write successful to local backend: b:k -> v",
        "DEBUG Write successful to local backend: b:l -> w",
    ]


def test_a_queued_message_logs_its_line_before_the_call_returns(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True, queue_batch={"timeout": 60})
    db.start()
    caplog.clear()
    db.write_queue_message("k", "v", "b")
    assert lines(caplog) == ["DEBUG Message queued [local]: b:k -> v"]
    db.flush()
    assert lines(caplog)[1:] == ["DEBUG Write successful to local backend: b:k -> v"]


def test_every_delivered_message_has_its_line_when_flush_returns(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    for number in range(100):
        caplog.clear()
        db.write_queue_message("k", str(number))
        db.flush()
        assert f"DEBUG Write successful to local backend: k -> {number}" in lines(caplog)


def test_every_delivered_message_has_its_line_when_stop_returns(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    for number in range(20):
        caplog.clear()
        db.write_queue_message("k", str(number))
        db.stop()
        assert lines(caplog)[-3:] == [
            f"DEBUG Write successful to local backend: k -> {number}",
            "DEBUG Background worker stopped.",
            "DEBUG Database resources released and closed.",
        ]


@pytest.mark.parametrize(("length", "shown"), [(199, 199), (200, 200), (201, 200), (100_000, 200)])
@pytest.mark.parametrize("letter", ["x", "é", "🔑"])
def test_values_are_cut_at_200_characters(
    length: int, shown: int, letter: str, open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_message("k", letter * length)
    assert lines(caplog) == [f"DEBUG Write successful to local backend: k -> {letter * shown}"]


def test_percent_signs_and_line_ends_in_keys_and_values_are_logged_as_they_are(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_message("100%s%d", "50%(x)s")
    assert lines(caplog) == ["DEBUG Write successful to local backend: 100%s%d -> 50%(x)s"]


def test_the_path_is_logged_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    DB({"debug": True, "local": {"filepath": "./some.file"}})
    assert lines(caplog) == ["DEBUG Local backend initialized at: ./some.file"]


def test_the_worker_is_said_to_start_once_and_to_stop_once(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.start()
    db.start()
    db.stop()
    db.stop()
    assert lines(caplog) == [f"DEBUG {line}" for line in (LINES[1], LINES[4], LINES[5])]


def test_reading_and_a_failed_update_log_no_line(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.read_message("k")
    db.list_keys()
    db.update_message("k", "v")
    assert lines(caplog) == []


def test_an_update_logs_its_line(open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture) -> None:
    db = open_db(debug=True)
    db.write_message("k", "v")
    caplog.clear()
    db.update_message("k", "w")
    assert lines(caplog) == ["DEBUG Write successful to local backend: k -> w"]


def test_a_failed_write_logs_no_success(
    open_db: Callable[..., DB], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    db = open_db(debug=True)
    caplog.clear()
    with pytest.raises(BackendError):
        db.write_message("k", "v")
    assert lines(caplog) == []


def test_a_retry_is_a_warning_and_what_is_given_up_an_error(
    open_db: Callable[..., DB],
    locked: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    db = open_db(
        local={"busy_timeout": 0},
        queue_batch={"retry": {"initial": 0.01, "max": 0.02, "give_up_after": 0.1}},
    )
    db.write_message("first", "v")
    with locked():
        receipt = db.write_queue_message("k", "v", "b", receipt=True)
        with pytest.raises(OperationTimeout):
            receipt.wait(timeout=60)
        with pytest.raises(DeliveryError):
            db.flush()
    said = lines(caplog)
    assert len(said) > 1
    assert all(line.startswith("WARNING ") and "locked" in line for line in said[:-1])
    assert said[-1].startswith("ERROR ")
    assert "b:k" in said[-1]
    assert "locked" in said[-1]


@pytest.mark.usefixtures("refuse_bad")
def test_logging_none_silences_every_line(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(logging="none", errors="log")
    db.write_queue_message("bad", "v")
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(DeliveryError):
            db.flush()
        assert db.write_message("bad", "v") is False
        # A type checker would not let it through either.
        assert cast("Any", db).tether(lambda: None)() is False
        db.stop()
    assert lines(caplog) == []


@pytest.mark.usefixtures("refuse_bad")
def test_logging_info_logs_what_is_given_up_and_no_debug_line(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(logging="info")
    with caplog.at_level(logging.DEBUG):
        db.write_queue_message("bad", "v")
        with pytest.raises(DeliveryError):
            db.flush()
        db.stop()
    (line,) = lines(caplog)
    assert line.startswith("ERROR ")
    assert "bad" in line


def test_a_log_handler_may_use_the_handle(
    open_db: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)

    class Storing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "k ->" in record.getMessage():
                db.write_message("from the handler", "v")

    logging.getLogger("TetherDB").addHandler(Storing())
    db.write_message("k", "v")
    assert db.read_message("from the handler") == "v"
    assert len(lines(caplog)) == 3
