"""`DB(config=None, config_file=None, *, on_error=None)`: the forms of opening."""

from __future__ import annotations

import json
import time
from collections import UserDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .backends import Backend
    from .place import Place


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration file that leads to the file "named" beside it."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"local": {"filepath": str(tmp_path / "named")}}))
    return file


def assert_leads_to(db: DB, file: Path) -> None:
    assert not file.exists()
    with db:
        assert db.write_message("key", "value") is True
    assert file.is_file()


def test_without_arguments_the_file_is_localdb_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_leads_to(DB(), tmp_path / "localdb")


def test_config_may_be_a_path_as_str(config_file: Path) -> None:
    assert_leads_to(DB(str(config_file)), config_file.with_name("named"))


def test_config_may_be_a_path_as_pathlike(config_file: Path) -> None:
    assert_leads_to(DB(config_file), config_file.with_name("named"))


def test_config_file_may_be_a_path_as_str(config_file: Path) -> None:
    assert_leads_to(DB(config_file=str(config_file)), config_file.with_name("named"))


def test_config_file_may_be_a_path_as_pathlike(config_file: Path) -> None:
    assert_leads_to(DB(config_file=config_file), config_file.with_name("named"))


def test_config_file_may_be_the_second_positional_argument(config_file: Path) -> None:
    assert_leads_to(DB(None, config_file), config_file.with_name("named"))


@pytest.mark.parametrize("make", [dict, MappingProxyType, UserDict])
def test_config_may_be_any_mapping(make: Callable[[Any], Any], tmp_path: Path) -> None:
    assert_leads_to(DB(make({"local": make({"filepath": str(tmp_path / "x")})})), tmp_path / "x")


def test_config_may_be_an_empty_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert_leads_to(DB({}), tmp_path / "localdb")


def test_a_mapping_is_not_changed(tmp_path: Path) -> None:
    config = {"local": {"filepath": str(tmp_path / "x")}, "queue_batch": {"size": 3}}
    before = json.dumps(config)
    DB(config)
    assert json.dumps(config) == before


def test_config_and_config_file_together_are_a_value_error(config_file: Path) -> None:
    with pytest.raises(ValueError, match="config_file"):
        DB({}, config_file)


@pytest.mark.parametrize("wrong", [42, ["local"], {"local"}, 1.5, object()])
def test_config_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ConfigError), match=type(wrong).__name__):
        DB(wrong)


def test_config_file_of_another_type_is_refused() -> None:
    wrong: Any = {"local": {}}
    with pytest.raises((TypeError, ConfigError), match="dict"):
        DB(config_file=wrong)


def test_on_error_is_keyword_only(tmp_path: Path) -> None:
    positional: Any = DB
    with pytest.raises(TypeError):
        positional({}, None, print)


def test_on_error_must_be_callable() -> None:
    wrong: Any = "print"
    with pytest.raises((TypeError, ConfigError), match="on_error"):
        DB(on_error=wrong)


def test_on_error_may_be_none(tmp_path: Path) -> None:
    assert_leads_to(DB({"local": {"filepath": str(tmp_path / "x")}}, on_error=None), tmp_path / "x")


def test_opening_connects_to_nothing_so_it_succeeds_while_servers_are_down() -> None:
    begun = time.monotonic()
    # Nobody listens on port 1, and nothing resolves below .invalid.
    DB({"etcd": {"host": "localhost", "port": 1, "timeout": 60}})
    DB({"etcd": {"endpoints": ["nobody.invalid", "localhost:1"], "timeout": 60}})
    DB({"dynamodb": {"table_name": "t", "endpoint_url": "http://nobody.invalid", "timeout": 60}})
    assert time.monotonic() - begun < 1


def test_a_handle_that_was_opened_while_the_backend_did_not_answer_works_once_it_does(
    open_db: Callable[..., DB], backend: Backend, outage: Callable[[], AbstractContextManager[None]]
) -> None:
    with outage():
        db = open_db()
        with pytest.raises(TimeoutError):
            db.write_message("k", "v", backend=backend.name)
    assert db.write_message("k", "v", backend=backend.name) is True


@pytest.mark.parametrize("form", ["mapping", "path", "config_file"])
def test_every_form_of_a_configuration_leads_to_the_backend(
    form: str, backend: Backend, place: Place, tmp_path: Path
) -> None:
    config = {"local": {"filepath": str(tmp_path / "x")}, **place.config}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    db = {
        "mapping": lambda: DB(config),
        "path": lambda: DB(file),
        "config_file": lambda: DB(config_file=file),
    }
    with db[form]() as opened:
        opened.write_message("k", "v", backend=backend.name)
    assert place.everything() == {"k": "v"}


def test_a_relative_filepath_is_taken_from_the_working_directory_of_the_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    db = DB({"local": {"filepath": "here"}})
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert_leads_to(db, tmp_path / "here")


def test_the_local_backend_is_there_without_a_local_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_leads_to(DB({"dynamodb": {"table_name": "t"}}), tmp_path / "localdb")


def test_db_is_a_context_manager_that_does_not_swallow_exceptions(
    open_db: Callable[..., DB], backend: Backend, place: Place
) -> None:
    db = open_db()

    def fail_inside() -> None:
        with db:
            db.write_queue_message("key", "value", backend=backend.name)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_inside()
    assert place.everything() == {"key": "value"}
