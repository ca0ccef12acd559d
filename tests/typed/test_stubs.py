"""The stubs say what `help()` says, and the types of TetherDB.types are those of the engine."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import typing
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

import TetherDB
from TetherDB import DB, Receipt, _tetherdb, types

if TYPE_CHECKING:
    from collections.abc import Iterator

STUB = ast.parse(Path(TetherDB.__path__[0], "_tetherdb.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
SCHEMA: dict[str, Any] = json.loads(_tetherdb.config_schema())
SECTIONS: list[tuple[str, type]] = [
    ("", types.Config),
    ("local", types.LocalConfig),
    ("dynamodb", types.DynamodbConfig),
    ("etcd", types.EtcdConfig),
    ("queue_batch", types.QueueBatchConfig),
    ("queue_batch.retry", types.RetryConfig),
]


def members(name: str) -> Iterator[str]:
    """The members of a class that have documentation of their own."""
    class_: type = getattr(_tetherdb, name)
    for member, value in vars(class_).items():
        if not member.startswith("_") and value.__doc__:
            yield member


DOCUMENTED = [(name, member) for name in ("DB", "Receipt") for member in members(name)]


@pytest.mark.parametrize(("name", "member"), DOCUMENTED)
def test_the_stub_of_a_method_has_its_documentation_to_the_letter(name: str, member: str) -> None:
    found = [node for node in CLASSES[name].body if isinstance(node, ast.FunctionDef) and node.name == member]
    # Of overloads the first has it.
    assert ast.get_docstring(found[0]) == inspect.getdoc(getattr(getattr(_tetherdb, name), member))


@pytest.mark.parametrize("name", ["DB", "Receipt", "MessageIterator"])
def test_the_stub_of_a_class_has_its_documentation_to_the_letter(name: str) -> None:
    assert ast.get_docstring(CLASSES[name]) == inspect.getdoc(getattr(_tetherdb, name))


def test_all_verbs_are_compared() -> None:
    public = {("DB", verb) for verb in dir(DB) if not verb.startswith("_")}
    public |= {("Receipt", verb) for verb in dir(Receipt) if not verb.startswith("_")}
    assert set(DOCUMENTED) == public


def keys_of(path: str) -> dict[str, Any]:
    """The part of the schema about a section."""
    section = SCHEMA
    for name in path.split(".") if path else []:
        section = section["properties"][name]
    return section


def fits(path: str, about: dict[str, Any], hint: Any) -> bool:
    """Whether a type is what the schema says of a key."""
    sections = dict(SECTIONS)
    if path in sections:
        return hint is sections[path]
    values = about.get("anyOf", [about])[0]
    if "enum" in values:
        return typing.get_origin(hint) is Literal and list(typing.get_args(hint)) == values["enum"]
    types_of: dict[str, list[Any]] = {
        "boolean": [bool],
        "integer": [int],
        "number": [float],
        # A path may be given as an object.
        "string": [str, str | PathLike[str]],
        "array": [list[str] | tuple[str, ...]],
    }
    return hint in types_of[values["type"]]


@pytest.mark.parametrize(("path", "section"), SECTIONS, ids=[path or "all" for path, _ in SECTIONS])
def test_the_types_of_the_configuration_are_those_of_the_schema(path: str, section: Any) -> None:
    schema = keys_of(path)
    hints = typing.get_type_hints(section)
    assert hints.keys() == schema["properties"].keys()
    assert section.__required_keys__ == set(schema.get("required", []))
    for key, about in schema["properties"].items():
        assert fits(f"{path}.{key}".lstrip("."), about, hints[key]), key


def documentation(section: str) -> dict[str, str]:
    """What an editor shows of the keys of a class: the texts that stand behind them."""
    tree = ast.parse(Path(types.__file__).read_text(encoding="utf-8"))
    (node,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == section]
    texts: dict[str, str] = {}
    for key, text in pairwise(node.body):
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr):
            texts[key.target.id] = ast.literal_eval(text.value)
    return texts


@pytest.mark.parametrize(("path", "section"), SECTIONS, ids=[path or "all" for path, _ in SECTIONS])
def test_editors_show_of_a_key_what_the_schema_says(path: str, section: type) -> None:
    schema = keys_of(path)["properties"]
    # It is no name, and has no place for a text.
    schema.pop("$schema", None)
    assert documentation(section.__name__) == {key: about["description"] for key, about in schema.items()}


@pytest.mark.parametrize("kind", [types.MessagesPage, types.KeysPage, types.Stats])
def test_editors_show_what_each_part_of_a_result_is(kind: type) -> None:
    assert documentation(kind.__name__).keys() == typing.get_type_hints(kind).keys()


PATHS = {
    "local.filepath",
    "etcd.ca_cert_file",
    "etcd.cert_file",
    "etcd.key_file",
    "queue_batch.journal",
}


def test_what_names_a_file_may_be_a_path_object() -> None:
    found = {
        f"{path}.{key}"
        for path, section in SECTIONS
        for key, hint in typing.get_type_hints(section).items()
        if hint == str | PathLike[str]
    }
    assert found == PATHS


def test_the_types_of_what_verbs_give_have_the_keys_that_they_give(tmp_path: Path) -> None:
    with DB({"local": {"filepath": str(tmp_path / "file"), "synchronous": "off"}}) as db:
        assert db.write_message("k", "v")
        for given, hinted in (
            (db.stats()["local"], types.Stats),
            (db.list_messages(), types.MessagesPage),
            (db.list_keys(), types.KeysPage),
        ):
            hints = typing.get_type_hints(hinted)
            assert hints.keys() == given.keys()
            for key, value in given.items():
                kind = list if typing.get_origin(hints[key]) is list else hints[key]
                assert isinstance(value, kind), key


def test_all_public_types_are_in_all() -> None:
    public = {
        name for name, value in vars(types).items() if getattr(value, "__module__", "") == types.__name__
    }
    assert {name for name in public if not name.startswith("_")} | {
        "FailedMessage",
        "Returned",
        "Storable",
        "Value",
    } == set(types.__all__)


def test_importing_the_package_imports_no_types() -> None:
    program = "import sys; before = set(sys.modules); import TetherDB; print(*set(sys.modules) - before)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert not {"typing", "TetherDB.types", "json", "asyncio"} & set(ran.stdout.split())
