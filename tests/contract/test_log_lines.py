"""The log lines, to the letter."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from TetherDB import DB, BackendError, DeliveryError, OperationTimeout

from .place import IMPATIENT, LARGE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place

    Run = Callable[..., subprocess.CompletedProcess[str]]

# After those of the opening, to the letter.
LINES = """\
Background worker started.
Message queued [local]: key3 -> {"name": "Charlie"}
Write successful to local backend: key3 -> {"name": "Charlie"}
Background worker stopped.
Database resources released and closed.
""".splitlines()

PROGRAM = """
import json, logging, sys
from TetherDB import DB
for number in range(int(sys.argv[3])):
    with DB(json.loads(sys.argv[1])) as db:
        db.write_queue_message("key3", {"name": "Charlie"}, backend=sys.argv[2])
"""
DEBUG: list[dict[str, Any]] = [{"debug": True}, {"logging": "debug"}]


@pytest.fixture
def expected(backend: Backend, place: Place, path: Path) -> list[str]:
    """What is logged of one queued message, from the opening to the end."""
    opening = [f"Local backend initialized at: {path}"]
    if backend.over_network:
        opening.append(place.opening_line)
    name = backend.name
    return opening + [line.replace("[local]", f"[{name}]").replace(" local ", f" {name} ") for line in LINES]


@pytest.fixture
def program(
    backend: Backend, place: Place, path: Path, run_python: Run
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `PROGRAM`, with more in its configuration."""
    config = {"local": {"filepath": str(path)}, **place.config}

    def run(more: dict[str, Any], source: str = PROGRAM, times: int = 1) -> subprocess.CompletedProcess[str]:
        return run_python(source, json.dumps({**config, **more}), backend.name, str(times))

    return run


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.name for record in caplog.records} <= {"TetherDB"}
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def test_the_lines_of_the_default_configuration_are_those_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with DB({"debug": True}) as db:
        db.write_queue_message("key3", {"name": "Charlie"})
    assert lines(caplog) == [f"DEBUG {line}" for line in ["Local backend initialized at: localdb", *LINES]]


@pytest.mark.parametrize("debug", DEBUG, ids=repr)
def test_with_debug_the_lines_are_those_of_the_contract_in_that_order(
    debug: dict[str, Any],
    backend: Backend,
    expected: list[str],
    open_db: Callable[..., DB],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_db(**debug) as db:
        db.write_queue_message("key3", {"name": "Charlie"}, backend=backend.name)
    assert lines(caplog) == [f"DEBUG {line}" for line in expected]


def test_the_backends_are_named_in_the_same_order_each_time(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    DB(
        {
            "debug": True,
            "etcd": {"endpoints": ["a:1", "http://b"]},
            "dynamodb": {"table_name": "Some.Table"},
            "local": {"filepath": str(path)},
        }
    )
    assert lines(caplog) == [
        f"DEBUG Local backend initialized at: {path}",
        "DEBUG DynamoDB backend initialized with table: Some.Table",
        "DEBUG etcd backend initialized at: a:1, b:2379",
    ]


@pytest.mark.parametrize("debug", DEBUG, ids=repr)
def test_with_debug_and_no_handler_anywhere_the_lines_go_to_stderr(
    debug: dict[str, Any], expected: list[str], program: Run
) -> None:
    done = program(debug)
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"DEBUG: {line}" for line in expected]


def test_two_handles_with_debug_do_not_double_the_lines_on_stderr(expected: list[str], program: Run) -> None:
    done = program({"debug": True}, times=2)
    assert done.stderr.splitlines() == [f"DEBUG: {line}" for line in expected] * 2


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
def test_with_a_handler_of_the_users_own_nothing_is_added(
    set_up: str, expected: list[str], program: Run
) -> None:
    done = program({"debug": True}, PROGRAM.replace("for number", f"{set_up}\nfor number"))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"DEBUG={line}" for line in expected]


def test_nothing_configures_the_root_logger(program: Run) -> None:
    done = program(
        {"debug": True}, PROGRAM + "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    assert done.stdout == "[] 30\n"


@pytest.mark.parametrize("more", [{}, {"debug": False}, {"logging": "info"}, {"logging": "none"}], ids=repr)
def test_without_debug_nothing_is_said(more: dict[str, Any], program: Run) -> None:
    done = program(more)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_debug_nothing_is_said_even_where_the_logger_listens(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), open_db() as db:
        db.write_message("k", "v", backend=backend.name)
        db.write_queue_message("q", "v", backend=backend.name)
    assert lines(caplog) == []


def test_a_direct_write_logs_its_line_before_it_returns(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_message("k", {"a": 1}, "b", backend.name)
    assert lines(caplog) == [f'DEBUG Write successful to {backend.name} backend: b:k -> {{"a": 1}}']


def test_a_bulk_write_logs_a_line_for_each_message(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_messages({"k": "v", "l": "w"}, "b", backend.name)
    assert lines(caplog) == [
        f"DEBUG Write successful to {backend.name} backend: b:k -> v",
        f"DEBUG Write successful to {backend.name} backend: b:l -> w",
    ]


def test_a_queued_message_logs_its_line_before_the_call_returns(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True, queue_batch={"timeout": 60})
    db.start()
    caplog.clear()
    db.write_queue_message("k", "v", "b", backend.name)
    assert lines(caplog) == [f"DEBUG Message queued [{backend.name}]: b:k -> v"]
    db.flush()
    assert lines(caplog)[1:] == [f"DEBUG Write successful to {backend.name} backend: b:k -> v"]


def test_every_delivered_message_has_its_line_when_flush_returns(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    for number in range(50):
        caplog.clear()
        db.write_queue_message("k", str(number), backend=backend.name)
        db.flush()
        assert f"DEBUG Write successful to {backend.name} backend: k -> {number}" in lines(caplog)


def test_every_delivered_message_has_its_line_when_stop_returns(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    for number in range(20):
        caplog.clear()
        db.write_queue_message("k", str(number), backend=backend.name)
        db.stop()
        assert lines(caplog)[-3:] == [
            f"DEBUG Write successful to {backend.name} backend: k -> {number}",
            "DEBUG Background worker stopped.",
            "DEBUG Database resources released and closed.",
        ]


@pytest.mark.parametrize(("length", "shown"), [(199, 199), (200, 200), (201, 200), (100_000, 200)])
@pytest.mark.parametrize("letter", ["x", "é", "🔑"])
def test_values_are_cut_at_200_characters(
    length: int,
    shown: int,
    letter: str,
    open_db: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    db, on = open_db(debug=True), backend.name
    db.start()
    caplog.clear()
    db.write_message("k", letter * length, backend=on)
    db.write_queue_message("k", letter * length, backend=on)
    assert lines(caplog)[:2] == [
        f"DEBUG Write successful to {on} backend: k -> {letter * shown}",
        f"DEBUG Message queued [{on}]: k -> {letter * shown}",
    ]


def test_percent_signs_and_line_ends_in_keys_and_values_are_logged_as_they_are(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.write_message("100%s%d", "50%(x)s", backend=backend.name)
    assert lines(caplog) == [f"DEBUG Write successful to {backend.name} backend: 100%s%d -> 50%(x)s"]


def test_the_path_is_logged_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    DB({"debug": True, "local": {"filepath": "./some.file"}})
    assert lines(caplog) == ["DEBUG Local backend initialized at: ./some.file"]


def test_the_worker_is_said_to_start_once_and_to_stop_once(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.start()
    db.start()
    db.stop()
    db.stop()
    assert lines(caplog) == [f"DEBUG {line}" for line in (LINES[0], LINES[3], LINES[4])]


def test_reading_and_a_failed_update_log_no_line(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    caplog.clear()
    db.read_message("k", backend=backend.name)
    db.list_keys(backend=backend.name)
    db.update_message("k", "v", backend=backend.name)
    assert lines(caplog) == []


def test_an_update_logs_its_line(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(debug=True)
    db.write_message("k", "v", backend=backend.name)
    caplog.clear()
    db.update_message("k", "w", backend=backend.name)
    assert lines(caplog) == [f"DEBUG Write successful to {backend.name} backend: k -> w"]


def test_a_failed_write_logs_no_success(
    broken: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = broken(debug=True)
    caplog.clear()
    with pytest.raises(BackendError):
        db.write_message("k", "v", backend=backend.name)
    assert lines(caplog) == []


def test_a_retry_is_a_warning_and_what_is_given_up_an_error(
    outage: Callable[[], AbstractContextManager[None]],
    open_db: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    retry = {"initial": 0.01, "max": 0.02, "give_up_after": IMPATIENT + 0.1}
    db, on = open_db(queue_batch={"retry": retry}), backend.name
    db.write_message("first", "v", backend=on)
    with outage():
        receipt = db.write_queue_message("k", "v", "b", on, receipt=True)
        with pytest.raises(OperationTimeout):
            receipt.wait(timeout=60)
        with pytest.raises(DeliveryError):
            db.flush()
    said = lines(caplog)
    assert len(said) > 1
    assert all(line.startswith("WARNING ") and f"{on} backend" in line for line in said[:-1])
    assert said[-1].startswith("ERROR ")
    assert "b:k" in said[-1]
    assert f"{on} backend" in said[-1]


@pytest.mark.usefixtures("refuse_large")
def test_logging_none_silences_every_line(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db, on = open_db(logging="none", errors="log"), backend.name
    db.write_queue_message("bad", LARGE, backend=on)
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(DeliveryError):
            db.flush()
        assert db.write_message("bad", LARGE, backend=on) is False
        # A type checker would not let it through either.
        assert cast("Any", db).tether(lambda: None)() is False
        db.stop()
    assert lines(caplog) == []


@pytest.mark.usefixtures("refuse_large")
def test_logging_info_logs_what_is_given_up_and_no_debug_line(
    open_db: Callable[..., DB], backend: Backend, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    db = open_db(logging="info")
    with caplog.at_level(logging.DEBUG):
        db.write_queue_message("bad", LARGE, backend=backend.name)
        with pytest.raises(DeliveryError):
            db.flush()
        db.stop()
    (line,) = lines(caplog)
    assert line.startswith("ERROR ")
    assert "'bad'" in line
    assert place.refusal_says in line


@pytest.mark.sync_only("a handler is a plain function in the loop's thread, and cannot await")
def test_a_log_handler_may_use_the_handle(
    open_db: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db, on = open_db(debug=True), backend.name
    caplog.clear()

    class Storing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if " k ->" in record.getMessage():
                db.write_message("from the handler", "v", backend=on)

    logging.getLogger("TetherDB").addHandler(Storing())
    db.write_message("k", "v", backend=on)
    assert db.read_message("from the handler", backend=on) == "v"
    assert len(lines(caplog)) == 2
