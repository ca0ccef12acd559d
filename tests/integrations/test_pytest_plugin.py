"""The pytest plugin: the fixture `tetherdb`, in test runs of their own."""

from __future__ import annotations

import os
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pytest_tetherdb

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Runs a test file in another process, with this plugin alone, whether it is installed or not."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run_file(source: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        plain = ("-p", "pytest_tetherdb", "-p", "no:cacheprovider", "-W", "error")
        return pytester.runpytest_subprocess(*plain, *options, timeout=100)

    return run_file


def test_it_is_a_fresh_db_on_a_file_below_tmp_path(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import pytest
        import TetherDB

        @pytest.mark.parametrize("number", [1, 2])
        def test_one(tetherdb, tmp_path, number):
            assert type(tetherdb) is TetherDB.DB
            assert list(tmp_path.iterdir()) == []
            assert tetherdb.list_keys()["keys"] == []
            tetherdb.write_message("k", str(number))
            assert (tmp_path / "tetherdb").is_file()
            assert tetherdb.read_message("k") == str(number)
        """)
    result.assert_outcomes(passed=2)


def test_it_is_closed_at_the_end(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import threading
        import pytest

        @pytest.fixture
        def around(tmp_path):
            yield
            # Whoever closes the file last carries the log into it.
            assert [path.name for path in tmp_path.iterdir()] == ["tetherdb"]

        def test_one(around, tetherdb):
            assert tetherdb.write_message("k", "v")
        """)
    result.assert_outcomes(passed=1)


def test_what_is_queued_at_the_end_is_delivered_and_no_failure(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import pytest
        from TetherDB import DB

        @pytest.fixture
        def tetherdb_config():
            return {"queue_batch": {"timeout": 3600}}

        @pytest.fixture
        def around(tmp_path):
            yield
            with DB({"local": {"filepath": str(tmp_path / "tetherdb")}}) as db:
                assert db.read_message("k") == "v"

        def test_one(around, tetherdb):
            tetherdb.write_queue_message("k", "v")
        """)
    result.assert_outcomes(passed=1)


# A folder is where the file should be: a fault that does not pass by itself, but may pass.
BROKEN = """
import pytest
from TetherDB import DB, DeliveryError

@pytest.fixture
def tetherdb_config(tmp_path):
    return {
        "local": {"filepath": str(tmp_path / "missing" / "file")},
        "logging": "none",
        "queue_batch": {"exit_timeout": 0.1, "retry": {"give_up_after": GIVE_UP_AFTER}},
    }
"""
AT_ONCE = BROKEN.replace("GIVE_UP_AFTER", "0")
NEVER = BROKEN.replace("GIVE_UP_AFTER", "300")


@pytest.mark.parametrize("config", [AT_ONCE, NEVER], ids=["given up", "still waiting"])
def test_a_message_that_was_not_delivered_fails_the_test(
    config: str, run: Callable[..., pytest.RunResult]
) -> None:
    result = run(
        config + "def test_one(tetherdb):\n    tetherdb.write_queue_message('pen', 'secret', 'orders')\n"
    )
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_one*",
            "The test queued messages that were not delivered:",
            "  local: 'orders:pen': *: local backend: *",
            "They were given up, or still undelivered 0.1 s after the test.",
            "If that is what it tests, catch the DeliveryError of flush() or stop(), or call drop_failed().",
        ]
    )
    result.stdout.no_fnmatch_line("*During handling of the above exception*")
    assert "secret" not in result.stdout.str()


def test_a_few_are_listed_and_the_rest_is_counted(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        AT_ONCE
        + "def test_one(tetherdb):\n"
        + "    for number in range(13):\n"
        + "        tetherdb.write_queue_message(f'k{number:02}', 'v')\n"
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["  local: 'k09': *", "  ... and 3 more"])
    result.stdout.no_fnmatch_line("  local: 'k10': *")


QUEUED = """
def test_one(tetherdb, tmp_path):
    receipt = tetherdb.write_queue_message("k", "v", receipt=True)
"""
HANDLED = {
    "flush": """
    with pytest.raises(DeliveryError):
        tetherdb.flush()
""",
    "stop": """
    with pytest.raises(DeliveryError):
        tetherdb.stop()
""",
    "with": """
    with pytest.raises(DeliveryError), tetherdb:
        pass
""",
    "drop_failed": """
    with pytest.raises(Exception, match="local backend"):
        receipt.wait()
    assert tetherdb.drop_failed() == 1
""",
    "retry_failed": """
    with pytest.raises(Exception, match="local backend"):
        receipt.wait()
    (tmp_path / "missing").mkdir()
    assert tetherdb.retry_failed() == 1
""",
}


@pytest.mark.parametrize("handled", HANDLED.values(), ids=HANDLED.keys())
def test_a_message_that_the_test_has_dealt_with_is_no_failure(
    handled: str, run: Callable[..., pytest.RunResult]
) -> None:
    run(AT_ONCE + QUEUED + handled).assert_outcomes(passed=1)


def test_to_list_what_was_given_up_is_not_to_deal_with_it(run: Callable[..., pytest.RunResult]) -> None:
    # As for `flush` and `stop` of any handle.
    result = run(
        AT_ONCE
        + "def test_one(tetherdb):\n"
        + "    receipt = tetherdb.write_queue_message('k', 'v', receipt=True)\n"
        + "    with pytest.raises(Exception, match='local backend'):\n"
        + "        receipt.wait()\n"
        + "    assert len(tetherdb.failed_messages()) == 1\n"
    )
    result.assert_outcomes(passed=1, errors=1)


def test_what_is_left_in_a_journal_fails_the_test(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import pytest

        @pytest.fixture
        def tetherdb_config(tmp_path):
            return {
                "local": {"filepath": str(tmp_path / "missing" / "file")},
                "logging": "none",
                "queue_batch": {"exit_timeout": 0.1, "journal": str(tmp_path / "journal")},
            }

        def test_one(tetherdb):
            tetherdb.write_queue_message("k", "v")
        """)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["The test left messages in the journal: *"])


def test_a_test_that_fails_itself_is_reported_as_ever(run: Callable[..., pytest.RunResult]) -> None:
    result = run(
        AT_ONCE
        + "def test_one(tetherdb):\n    tetherdb.write_queue_message('k', 'v')\n    assert 1 == 2\n"
        + "def test_two(tetherdb):\n    pass\n"
    )
    result.assert_outcomes(failed=1, errors=1, passed=1)
    result.stdout.fnmatch_lines(["*assert 1 == 2*"])


def test_the_config_can_be_overridden_for_all_for_a_class_and_for_one(
    run: Callable[..., pytest.RunResult], pytester: pytest.Pytester
) -> None:
    pytester.makeconftest("""
        import pytest

        @pytest.fixture(scope="session")
        def tetherdb_config():
            return {"errors": "log", "logging": "none"}
        """)
    result = run("""
        import pytest
        from TetherDB import QueueFull

        def test_all(tetherdb):
            assert tetherdb.write_message("", "v") is False

        class TestOther:
            @pytest.fixture
            def tetherdb_config(self, tetherdb_config):
                return {**tetherdb_config, "errors": "raise"}

            def test_class(self, tetherdb):
                with pytest.raises(ValueError):
                    tetherdb.write_message("", "v")

        @pytest.mark.parametrize("tetherdb_config", [
            {"queue_batch": {"timeout": 60, "max_pending": 1, "when_full": "raise"}},
        ])
        def test_one(tetherdb):
            tetherdb.write_queue_message("1", "v")
            with pytest.raises(QueueFull):
                tetherdb.write_queue_message("2", "v")
        """)
    result.assert_outcomes(passed=3)


def test_what_the_config_names_replaces_the_rest_stays(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import pytest

        @pytest.mark.parametrize("tetherdb_config", [{"local": {"mode": "0600"}}])
        def test_merged(tetherdb, tmp_path):
            tetherdb.write_message("k", "v")
            assert (tmp_path / "tetherdb").stat().st_mode & 0o777 == 0o600
        """)
    result.assert_outcomes(passed=1)


WRONG_CONFIGS = {
    '{"queue_batch": {"sise": 1}}': "is wrong: ConfigError: queue_batch.sise: unknown key. Did you mean*",
    '{"local": 5}': "is wrong: ConfigError: local: expected an object, got an integer.*",
    "{1: {}}": "is wrong: TypeError: config: keys must be str, got int 1.",
    "None": "must return a mapping, got NoneType. Return {} for the defaults.",
    '"shop.json"': "must return a mapping, got str. Return {} for the defaults.",
}


@pytest.mark.parametrize("config", WRONG_CONFIGS)
def test_a_wrong_config_is_one_text_without_a_traceback(
    run: Callable[..., pytest.RunResult], config: str
) -> None:
    result = run(f"""
        import pytest

        @pytest.mark.parametrize("tetherdb_config", [{config}])
        def test_wrong(tetherdb):
            pass
        """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"The fixture tetherdb_config {WRONG_CONFIGS[config]}"])
    result.stdout.no_fnmatch_line("*pytest_tetherdb/*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_run_that_does_not_use_it_imports_nothing_of_tetherdb(run: Callable[..., pytest.RunResult]) -> None:
    result = run("""
        import sys

        def test_one(request):
            assert request.config.pluginmanager.has_plugin("pytest_tetherdb")
            assert [name for name in sys.modules if name.partition(".")[0] == "TetherDB"] == []

        def test_two(tetherdb):
            assert "TetherDB" in sys.modules
        """)
    result.assert_outcomes(passed=2)


def test_the_plugin_imports_no_module_that_pytest_has_not_imported(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    program = (
        "import sys, pytest\nbefore = set(sys.modules)\nimport pytest_tetherdb\n"
        "print(set(sys.modules) - before)\n"
    )
    done = run_python(program)
    assert (done.returncode, done.stdout) == (0, "{'pytest_tetherdb'}\n"), done.stderr


def test_pytest_lists_the_fixtures(run: Callable[..., pytest.RunResult]) -> None:
    result = run("", "--fixtures")
    result.stdout.fnmatch_lines(["tetherdb_config -- *", "tetherdb -- *", "*A ``DB`` on the fresh file*"])


def test_the_project_declares_the_plugin() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (entry,) = project["project"]["entry-points"]["pytest11"].items()
    # Of one name: else `-p pytest_tetherdb` would make pytest register it twice, which it refuses.
    assert entry == (pytest_tetherdb.__name__, pytest_tetherdb.__name__)
    assert pytest_tetherdb.__name__ in project["tool"]["maturin"]["python-packages"]


def test_the_installed_distribution_has_the_plugin() -> None:
    found = metadata.distribution("tetherdb").entry_points.select(group="pytest11")
    if not found and "CI" not in os.environ:
        pytest.skip("installed from before there was a plugin: `make dev` installs it anew")
    (entry,) = found
    assert entry.load() is pytest_tetherdb
