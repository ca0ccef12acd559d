"""Values that cannot be stored: the same error as `json.dumps` has, and nothing written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from .backends import Backend
    from .place import Place

WRITES: dict[str, Callable[[DB, Any, str], object]] = {
    "write_message": lambda db, value, backend: db.write_message("k", value, backend=backend),
    "write_message-queued": lambda db, value, backend: db.write_message(
        "k", value, backend=backend, queue=True
    ),
    "write_queue_message": lambda db, value, backend: db.write_queue_message("k", value, backend=backend),
    "update_message": lambda db, value, backend: db.update_message("k", value, backend=backend),
    "write_messages": lambda db, value, backend: db.write_messages([("k", value)], backend=backend),
}


def circular_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = value
    return value


def circular_list() -> dict[str, Any]:
    inner: list[Any] = []
    inner.append({"again": inner})
    return {"a": inner}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


class Failing(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no items today")


class Unprintable(int):
    pass


REFUSED: dict[str, dict[Any, Any]] = {
    "set": {"a": {1}},
    "bytes": {"a": b"x"},
    "object": {"a": object},
    "complex": {"a": [1, {"b": 1j}]},
    "deep inside": {"a": [1, ({"b": {"c": [frozenset()]}},)]},
    "tuple as key": {("a",): 1},
    "bytes as key": {"a": {b"k": 1}},
    "object as key": {object: 1},
    "circular dict": circular_dict(),
    "circular list": circular_list(),
    "integer of too many digits": {"a": 10**5000},
    "100 000 deep": nested(100_000),
    "items that raise": Failing(a=1),
    "items that raise inside": {"a": Failing(b=1)},
}


def dumps_error(value: Any) -> Exception:
    try:
        json.dumps(value)
    except Exception as error:
        return error
    raise AssertionError("json.dumps takes it")


@pytest.mark.parametrize("verb", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_what_json_dumps_refuses_is_refused_with_the_same_type_and_text(
    value: dict[Any, Any], verb: Callable[[DB, Any, str], object], db: DB, backend: Backend
) -> None:
    expected = dumps_error(value)
    with pytest.raises(type(expected)) as caught:
        verb(db, value, backend.name)
    assert type(caught.value) is type(expected)
    assert str(caught.value) == str(expected)
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


@pytest.mark.parametrize("verb", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize(
    "value",
    [["a"], ("a",), {"a"}, 1, 1.5, True, None, b"x", object()],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_another_type_is_a_type_error_that_names_it(
    value: Any, verb: Callable[[DB, Any, str], object], db: DB, backend: Backend
) -> None:
    with pytest.raises(TypeError) as caught:
        verb(db, value, backend.name)
    assert f"Expected str or dict, got {type(value).__name__}." in str(caught.value)
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


@pytest.mark.parametrize("verb", ["write_message", "write_queue_message", "update_message"])
def test_the_type_error_of_a_single_verb_is_worded_to_the_letter(verb: str, db: DB, backend: Backend) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(db, verb)("k", ["a"], backend=backend.name)
    assert str(caught.value) == "Expected str or dict, got list."


@pytest.mark.parametrize("verb", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize(
    "value", ["\ud800", "a\udfffb", "x" * 10_000 + "\ud83d"], ids=lambda v: ascii(v[-8:])
)
def test_a_str_with_a_lone_surrogate_is_a_value_error(
    value: str, verb: Callable[[DB, Any, str], object], db: DB, backend: Backend
) -> None:
    with pytest.raises(ValueError, match="surrogate") as caught:
        verb(db, value, backend.name)
    assert type(caught.value) is ValueError
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_refused_value_leaves_what_was_stored(db: DB, backend: Backend) -> None:
    on = backend.name
    db.write_message("k", "old", backend=on)
    for verb in WRITES.values():
        with pytest.raises(TypeError):
            verb(db, {"a": {1}}, on)
    db.flush()
    assert db.read_message("k", backend=on) == "old"


def test_a_refused_value_is_not_counted_as_accepted(db: DB, backend: Backend) -> None:
    with pytest.raises(TypeError):
        db.write_queue_message("k", {"a": {1}}, backend=backend.name)
    assert db.stats()[backend.name]["accepted"] == 0


def test_values_nested_50_000_deep_do_not_harm_the_process(
    run_python: Callable[..., subprocess.CompletedProcess[str]], backend: Backend, place: Place, path: Path
) -> None:
    program = """
import json, os, sys
from TetherDB import DB
on, depth = sys.argv[2], 50_000
value = {}
for _ in range(depth):
    value = {"a": [value]}
with DB(json.loads(sys.argv[1])) as db:
    for verb in (db.write_message, db.write_queue_message):
        try:
            verb("k", value, backend=on)
        except RecursionError:
            print("refused")
    text = '{"a":' * depth + "1" + "}" * depth
    db.write_message("deep", text, backend=on)
    try:
        found = db.read_message("deep", backend=on)
        print(found == text or isinstance(found, dict))
    except RecursionError:
        print(True)
    print(db.list_messages(backend=on)["messages"] == [text])
sys.stdout.flush()
# Python itself may need long to free such a structure.
os._exit(0)
"""
    config = {"local": {"filepath": str(path)}, **place.config}
    done = run_python(program, json.dumps(config), backend.name)
    assert done.stdout.split() == ["refused", "refused", "True", "True"], done.stderr
    assert done.returncode == 0


def test_an_integer_of_too_many_digits_in_the_text_of_another_program_stays_a_str(
    db: DB, backend: Backend
) -> None:
    text = '{"a": ' + "1" * 5000 + "}"
    db.write_message("k", text, backend=backend.name)
    assert db.read_message("k", backend=backend.name) == text
