"""The JSON Schema of the configuration: it takes what the reader takes, and refuses what it can."""

from __future__ import annotations

import importlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from TetherDB import DB, ConfigError
from TetherDB._tetherdb import config_schema

from .test_config_keys import (
    BOOLEANS,
    FILES,
    INTEGERS,
    NO_BOOLEAN,
    NO_INTEGER,
    NO_SECONDS,
    NO_SECTION,
    NO_TEXT,
    NO_WORD,
    SECONDS,
    SECTIONS,
    TEXTS,
    WORDS,
    cases,
    config_with,
)

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = json.loads(config_schema())
# It comes without types.
VALIDATOR: Any = importlib.import_module("jsonschema").Draft202012Validator
CHECK = VALIDATOR(SCHEMA)
VARIABLE = "${TETHERDB_TEST_VALUE}"


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal is opened with its DB."""
    monkeypatch.chdir(tmp_path)


def config_at(path: str, value: Any) -> dict[str, Any]:
    """A configuration with `value` at `path`, and all that must stand beside it."""
    config = config_with(path, value)
    if path == "queue_batch.journal_sync":
        config["queue_batch"]["journal"] = "journal"
    return config


def problems(config: Any) -> list[str]:
    """What the schema has against a configuration."""
    return [f"{error.json_path}: {error.message}" for error in CHECK.iter_errors(config)]


def is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def properties(section: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Every key of the schema by its path."""
    found: dict[str, dict[str, Any]] = {}
    for key, about in section.get("properties", {}).items():
        found[f"{path}{key}"] = about
        found |= properties(about, f"{path}{key}.")
    return found


def test_the_file_in_the_package_is_what_the_engine_says() -> None:
    shipped = files("TetherDB").joinpath("config.schema.json").read_text(encoding="utf-8")
    assert shipped == config_schema(), "run `make schema`"


def test_it_is_a_valid_schema() -> None:
    VALIDATOR.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == VALIDATOR.META_SCHEMA["$id"]


def test_every_key_has_one_sentence_about_it() -> None:
    for path, about in properties(SCHEMA).items():
        text = about["description"]
        assert text[0].isupper(), path
        assert text.endswith("."), path
        assert ". " not in text, path


def test_every_object_refuses_keys_that_it_does_not_know() -> None:
    objects = [SCHEMA, *(about for about in properties(SCHEMA).values() if about.get("type") == "object")]
    assert len(objects) == 6
    assert all(section["additionalProperties"] is False for section in objects)


@pytest.mark.parametrize("path", [path for path, about in properties(SCHEMA).items() if "default" in about])
def test_every_default_may_be_written_and_is_the_one_of_the_page(path: str) -> None:
    default = properties(SCHEMA)[path]["default"]
    config = config_at(path, default)
    assert problems(config) == []
    DB(config)
    *sections, key = path.split(".")
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    part = page.split(f"\n### {f'`{sections[0]}`' if sections else 'Top level'}\n")[1].split("\n### ")[0]
    name = f"retry.{key}" if "retry" in sections else key
    (row,) = [
        line for line in part.splitlines() if line.startswith("| ") and f"`{name}`" in line.split("|")[1]
    ]
    written = [json.loads(text) for text in row.split("|")[3].split("`")[1::2] if text != "initial"]
    assert default in written, row


def test_config_example_names_the_schema_and_is_valid() -> None:
    example = json.loads((ROOT / "config.example.json").read_text(encoding="utf-8"))
    assert ROOT.joinpath(example["$schema"]) == ROOT / "python" / "TetherDB" / "config.schema.json"
    assert problems(example) == []


@pytest.mark.parametrize("name", ["./config.schema.json", "https://example.com/x", VARIABLE])
def test_a_configuration_may_name_a_schema(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_VALUE", "x")
    config: dict[str, Any] = {"$schema": name}
    assert problems(config) == []
    DB(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    DB(tmp_path / "config.json")


VALID = [
    *[pytest.param(key, word) for key, words in WORDS.items() for word in words],
    *cases([key for key in SECONDS if key != "queue_batch.retry.initial"], [1, 0.25, 3600, 31622400]),
    *cases(["queue_batch.retry.initial"], [0.001, 5]),
    *cases(["local.busy_timeout", "queue_batch.timeout", "queue_batch.retry.give_up_after"], [0, 0.0]),
    *cases(INTEGERS, [1, 12345]),
    *cases(["queue_batch.size", "queue_batch.max_pending"], [4294967295]),
    *cases(["queue_batch.max_pending_bytes"], [1 << 50]),
    *cases(BOOLEANS, [True, False]),
    *cases([key for key in TEXTS if not key.endswith("_url")], ["näme", "${", "x"]),
    *cases(
        ["dynamodb.endpoint_url"],
        ["http://name", "https://name:8000", "http://name/", "http://10.0.0.1:1/a/b?c", "http://[::1]:8000"],
    ),
    *cases(["local.mode"], ["0600", "600", "0666", "0o640", "0", "0000777"]),
    *cases(["etcd.host"], ["node", "10.0.0.1", "::1", "[::1]", "fe80::1:2", "::ffff:10.0.0.1"]),
    *cases(
        ["etcd.endpoints"],
        [
            ["a:2379"],
            ["a", "b:1"],
            ["http://a:2379"],
            ["https://a", "https://b:65535/"],
            ["[::1]", "http://[::1]:1"],
            ["a:02379"],
        ],
    ),
    *cases(["queue_batch.journal"], ["journal"]),
    *cases(SECTIONS[:1] + SECTIONS[2:], [{}]),
]


@pytest.mark.parametrize(("path", "value"), VALID)
def test_what_the_reader_takes_the_schema_takes(path: str, value: Any) -> None:
    config = config_at(path, value)
    DB(config)
    assert problems(config) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *[(path, words[0]) for path, words in WORDS.items()],
        *[(path, "1") for path in [*SECONDS, *INTEGERS]],
        *[(path, "true") for path in BOOLEANS],
        *[(path, "text") for path in TEXTS if not path.endswith("_url")],
        ("dynamodb.endpoint_url", "http://localhost:8000"),
        ("local.mode", "0600"),
    ],
)
def test_a_variable_of_the_environment_may_stand_for_every_single_value(
    path: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TETHERDB_TEST_VALUE", value)
    config = config_at(path, VARIABLE)
    DB(config)
    assert problems(config) == []


@pytest.mark.parametrize("path", [*SECTIONS, "etcd.endpoints"])
def test_a_variable_stands_for_no_object_and_for_no_list(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TETHERDB_TEST_VALUE", "{}")
    config = config_at(path, VARIABLE)
    with pytest.raises(ConfigError, match=rf"^{path}: expected"):
        DB(config)
    assert problems(config)


def test_variables_may_stand_in_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TETHERDB_TEST_VALUE", "a:1")
    config = {"etcd": {"endpoints": [VARIABLE, "b:1"]}}
    DB(config)
    assert problems(config) == []


INVALID = [
    case
    for case in [
        *cases(list(WORDS), NO_WORD),
        *cases(SECONDS, [*NO_SECONDS, 31622401]),
        *cases(
            ["dynamodb.timeout", "etcd.timeout", "queue_batch.retry.initial", "queue_batch.retry.max"], [0]
        ),
        *cases(INTEGERS, NO_INTEGER),
        *cases(["etcd.port"], [65536]),
        *cases(["queue_batch.size", "queue_batch.max_pending"], [4294967296]),
        *cases(BOOLEANS, NO_BOOLEAN),
        *cases([*TEXTS, *FILES, "queue_batch.journal", "$schema"], NO_TEXT),
        *cases(FILES, ["-----BEGIN PRIVATE KEY-----\nMIIE", "\nMIIE"]),
        *cases(SECTIONS, NO_SECTION),
        *cases(["local.mode"], [0o600, "", "rw", "0999", "01777", "01777777", "-1", "+600", "0o", None]),
        *cases(["etcd.endpoints"], ["a:1", [], [1], [None], {}, 1, None, [""], ["a:1", ""]]),
        *cases(
            ["etcd.endpoints"],
            [
                [f"{bad}"]
                for bad in (":1", "node:", "node:x", "node:0", "node:-1", "node:+1", "::1", "two words")
            ]
            + [["node:1/path"], ["http://"], ["ftp://node"], ["user@node"], ["node?x"], ["a:1,b:1"]],
        ),
        *cases(["etcd.host"], ["http://node", "https://node:1", "node:1", "a/b", "two words", "user@node"]),
        *cases(
            ["dynamodb.endpoint_url"],
            ["localhost:8000", "ftp://localhost", "http://", "http://two words", "http://u:p@host"],
        ),
        *cases(["dynamodb.endpoint_url"], ["http://localhost:port", "http://localhost:0", "http://host/a@b"]),
    ]
    if is_json(case.values[1])
]


@pytest.mark.parametrize(("path", "value"), INVALID)
def test_a_wrong_value_is_refused_by_both(path: str, value: Any) -> None:
    config = config_at(path, value)
    with pytest.raises(ConfigError):
        DB(config)
    assert problems(config)


@pytest.mark.parametrize(
    "config",
    [
        {"dynamodb": {}},
        {"dynamodb": {"region": "eu-central-1"}},
        {"etcd": {"username": "u"}},
        {"etcd": {"password": "p"}},
        {"etcd": {"cert_file": "file"}},
        {"etcd": {"key_file": "file"}},
        {"etcd": {"endpoints": ["a:1"], "host": "a"}},
        {"etcd": {"endpoints": ["a:1"], "port": 1}},
        {"queue_batch": {"journal_sync": "always"}},
        [],
        None,
        "config.json",
    ],
    ids=repr,
)
def test_keys_that_do_not_go_together_are_refused_by_both(config: Any, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    with pytest.raises(ConfigError):
        DB(file)
    assert problems(config)


@pytest.mark.parametrize("path", properties(SCHEMA))
def test_an_unknown_key_is_refused_by_both(path: str) -> None:
    config = config_at(f"{path}{path[-1]}", 1)
    with pytest.raises(ConfigError, match="unknown key"):
        DB(config)
    assert problems(config)


@pytest.mark.parametrize(
    "config",
    [
        {"debug": True, "logging": "info"},
        {"queue_batch": {"timeout": 1, "interval": 2}},
        {"queue_batch": {"retry": {"initial": 9, "max": 1}}},
        {"queue_batch": {"size": 10.0}},
        {"etcd": {"endpoints": ["http://a", "https://b"]}},
        {"etcd": {"endpoints": ["a:65536"]}},
        {"etcd": {"ca_cert_file": "missing.pem"}},
        {"local": {"filepath": "same"}, "queue_batch": {"journal": "same"}},
        {"local": {"filepath": "${TETHERDB_TEST_UNSET}"}},
    ],
    ids=repr,
)
def test_what_the_reader_alone_can_tell(config: dict[str, Any]) -> None:
    # The page says so, too. If the schema learns one of these, the page and this list change.
    with pytest.raises(ConfigError):
        DB(config)
    assert problems(config) == []
