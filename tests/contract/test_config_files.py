"""Configuration files, and what they take from the environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration file."""

    def write_text(text: str) -> Path:
        file = tmp_path / "config.json"
        file.write_text(text, encoding="utf-8")
        return file

    return write_text


def test_the_example_configuration_is_valid() -> None:
    example = Path(__file__).parents[2] / "config.example.json"
    DB(example)
    DB(json.loads(example.read_text(encoding="utf-8")))


def test_a_missing_file_is_a_config_error_that_names_it(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(ConfigError) as caught:
        DB(missing)
    assert str(missing) in str(caught.value)


def test_a_directory_is_a_config_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        DB(tmp_path)


def test_broken_json_is_a_config_error_that_names_line_and_column(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"config\.json.*line 2 column \d+"):
        DB(write('{\n  "debug": truth\n}'))


@pytest.mark.parametrize("text", ["", "[]", "null", "1", '"local"', "{} {}", '{"debug": true,}', "\0"])
def test_a_file_that_holds_no_json_object_is_a_config_error(text: str, write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        DB(write(text))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty. Write {}"),
        (b"{'debug': true}", "line 1 column 2. Write double quotes"),
        (b'{\n  "debug": true,\n}', "trailing comma at line 3 column 1. Leave out the comma"),
        (b'{\n  // on\n  "debug": true\n}', "line 2 column 3. JSON has no comments"),
        (b'{"debug": True}', "line 1 column 11. In JSON it is true."),
        (b'{"etcd": None}', "line 1 column 10. In JSON it is null"),
        (b"[]", 'expected an object, got a list. Write {"local": {"filepath": ...}}'),
        ("{}".encode("utf-16"), "is UTF-16 or UTF-32. Save it as UTF-8."),
        ('{"errors": "ü"}'.encode("latin-1"), "is not UTF-8, from line 1 column 13 on. Save it as UTF-8."),
        (b'{"local": {"mode": 0600}}', 'Permission bits are text, such as "0600".'),
    ],
    ids=repr,
)
def test_what_to_write_instead_is_said_of_a_broken_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        DB(file)
    assert str(caught.value).startswith(str(file))
    assert said in str(caught.value)


def test_a_file_that_is_not_utf8_is_a_config_error(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b'{"local": {"filepath": "\xff"}}')
    with pytest.raises(ConfigError, match=r"config\.json"):
        DB(file)


def test_a_deeply_nested_file_is_a_config_error(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        DB(write('{"local":' * 100_000))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"debug": true, "debug": true}', "debug"),
        ('{"local": {"filepath": "a", "filepath": "b"}}', "local.filepath"),
        ('{"queue_batch": {"retry": {"max": 1, "max": 2}}}', "queue_batch.retry.max"),
        ('{"local": {}, "local": {}}', "local"),
    ],
)
def test_a_key_given_twice_is_a_config_error_that_names_its_path(
    text: str, path: str, write: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError) as caught:
        DB(write(text))
    assert f"{path}: given twice" in str(caught.value)


def test_problems_of_a_file_name_the_file_and_the_path_of_the_key(write: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=r"config\.json.*local\.filepth: unknown key"):
        DB(write('{"local": {"filepth": "x"}}'))


def test_a_whole_string_takes_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_FILE", str(tmp_path / "from-environment"))
    DB({"local": {"filepath": "${TETHERDB_TEST_FILE}"}}).write_message("k", "v")
    assert (tmp_path / "from-environment").exists()


def test_a_configuration_file_takes_environment_variables_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_FILE", str(tmp_path / "from-environment"))
    DB(write('{"local": {"filepath": "${TETHERDB_TEST_FILE}"}}')).write_message("k", "v")
    assert (tmp_path / "from-environment").exists()


def test_a_string_that_only_contains_the_pattern_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_NAME", "changed")
    monkeypatch.chdir(tmp_path)
    DB({"local": {"filepath": "a${TETHERDB_TEST_NAME}"}}).write_message("k", "v")
    assert (tmp_path / "a${TETHERDB_TEST_NAME}").exists()


def test_a_value_of_the_environment_is_not_expanded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TETHERDB_TEST_NAME", "${TETHERDB_TEST_NAME}")
    DB({"local": {"filepath": "${TETHERDB_TEST_NAME}"}}).write_message("k", "v")
    assert (tmp_path / "${TETHERDB_TEST_NAME}").exists()


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"local": {"filepath": "${TETHERDB_TEST_UNSET}"}}, "local.filepath"),
        ({"etcd": {"username": "u", "password": "${TETHERDB_TEST_UNSET}"}}, "etcd.password"),
        ({"etcd": {"endpoints": ["${TETHERDB_TEST_UNSET}"]}}, "etcd.endpoints"),
        ({"logging": "${TETHERDB_TEST_UNSET}"}, "logging"),
    ],
)
def test_an_unset_variable_is_a_config_error_that_names_path_and_variable(
    config: dict[str, Any], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TETHERDB_TEST_UNSET", raising=False)
    with pytest.raises(ConfigError) as caught:
        DB(config)
    assert f"{path}: " in str(caught.value)
    assert "TETHERDB_TEST_UNSET" in str(caught.value)


@pytest.mark.parametrize(("path", "text"), [("port", "2379"), ("timeout", "1.5"), ("use_ssl", "true")])
def test_numbers_and_booleans_may_come_from_the_environment(
    path: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_VALUE", text)
    DB({"etcd": {path: "${TETHERDB_TEST_VALUE}"}})
    monkeypatch.setenv("TETHERDB_TEST_VALUE", "neither")
    with pytest.raises(ConfigError, match=rf"etcd\.{path}: expected .*TETHERDB_TEST_VALUE"):
        DB({"etcd": {path: "${TETHERDB_TEST_VALUE}"}})
