"""Values on their way in: a `dict` is stored as exactly the text that `json.dumps` gives it."""

from __future__ import annotations

import enum
import json
import os
import random
from collections import OrderedDict, defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .backends import Backend
    from .place import Place


class Colour(enum.IntEnum):
    RED = 1


class Level(float, enum.Enum):
    HIGH = 1.5


class Text(str):
    __slots__ = ()


class Number(int):
    def __repr__(self) -> str:
        return "not this"


class Real(float):
    def __repr__(self) -> str:
        return "not this"


class Items(dict[str, Any]):
    """What it says it holds is not what it holds."""

    def items(self) -> Any:
        return [("said", 1)]


class Listed(list[Any]):
    pass


SURROGATES = st.characters(categories=["Cs"])
TEXTS = st.text() | st.text(SURROGATES | st.characters())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**200), max_value=2**200)
    | st.floats()
    | TEXTS
)
KEYS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict)
    )


DICTS = st.dictionaries(KEYS, st.recursive(SCALARS, containers, max_leaves=12), max_size=6)

CASES: dict[str, dict[Any, Any]] = {
    "empty": {},
    "empty containers": {"a": {}, "b": [], "c": ()},
    "separators": {"a": [1, 2, {"b": (3, 4)}], "c": {"d": 1, "e": 2}},
    "integer keys": {1: "a", -1: "b", 0: "c", 2**70: "d"},
    "float keys": {1.0: "a", 1e22: "b", 1e-7: "c", -0.0: "d", 1.5e300: "e"},
    "not finite": {"a": float("nan"), "b": float("inf"), "c": float("-inf")},
    "keys that are not finite": {float("nan"): 1, float("inf"): 2, float("-inf"): 3},
    "boolean and null keys": {True: 1, False: 2, None: 3},
    "keys that meet as text": {1: "a", "1": "b", 1.5: "c", "1.5": "d", None: "e", "null": "f"},
    # Two spellings are as short and as near: the even one is Python's.
    "float ties": {"a": [672403752992454.25, -262148301521741.625, 2135131035254.0625, 9007199254740993.0]},
    "floats": {"a": [0.1, 1.0, -0.0, 1e16, 1e15, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308, 1 / 3]},
    "integers": {"a": [0, -1, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**4000]},
    "escapes": {"a": '"\\/\b\f\n\r\t\0\x1f\x7f\x80', '"\\\n\x7f': 1},
    "all of latin 1": {"a": "".join(map(chr, range(256)))},
    "unicode": {"é": "鍵 🔑 \u2028\u2029\ufeff\uffff\U0010ffff"},
    "lone surrogates": {"\ud800": "\udfff", "a": ["\ud83d", "\ude00\ud83d", "x\ud800y"]},
    "surrogates that make a pair": {"a": "\ud83d\ude00"},
    "subclasses of scalars": {
        "a": Colour.RED,
        "b": Level.HIGH,
        "c": Text("text"),
        "d": Number(5),
        "e": Real(2.5),
        Text("key"): 1,
    },
    "subclasses as keys": {Colour.RED: 1, Level.HIGH: 2, Number(5): 3, Real(2.5): 4},
    "subclasses of containers": {
        "a": OrderedDict(b=1, a=2),
        "b": defaultdict(int, x=1),
        "c": Listed([1, 2]),
        "d": Items(held=1),
    },
    "ordered dict": OrderedDict(z=1, a=2),
    "default dict": defaultdict(list, z=[1]),
    "items of its own": Items(held=1),
    "a hundred deep": json.loads('{"a": [' * 50 + "1" + "]}" * 50),
    "two hundred deep": json.loads('{"a": [' * 100 + "1" + "]}" * 100),
    "many keys": {f"key {number}": number for number in range(10_000)},
}


def stored_text(db: DB, backend: Backend) -> str:
    (text,) = db.list_messages(backend=backend.name)["messages"]
    return text


@pytest.mark.parametrize("value", CASES.values(), ids=CASES.keys())
def test_a_dict_is_stored_as_the_text_of_json_dumps(value: dict[Any, Any], db: DB, backend: Backend) -> None:
    db.write_message("k", value, backend=backend.name)
    assert stored_text(db, backend) == json.dumps(value)


@pytest.mark.parametrize("value", CASES.values(), ids=CASES.keys())
def test_a_queued_dict_is_stored_as_the_text_of_json_dumps(
    value: dict[Any, Any], db: DB, backend: Backend
) -> None:
    db.write_queue_message("k", value, backend=backend.name)
    db.flush()
    assert stored_text(db, backend) == json.dumps(value)


def test_what_another_program_finds_is_the_text_of_json_dumps(db: DB, backend: Backend, place: Place) -> None:
    db.write_messages(CASES, backend=backend.name)
    assert place.everything() == {name: json.dumps(value) for name, value in CASES.items()}


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(DICTS, min_size=1, max_size=10))
@example(values=[{"\x7f": "\x7f"}])
def test_any_dict_is_stored_as_the_text_of_json_dumps(
    values: list[dict[Any, Any]], db: DB, backend: Backend
) -> None:
    on = backend.name
    db.delete_messages([str(number) for number in range(10)], backend=on)
    assert db.write_messages({str(at): value for at, value in enumerate(values)}, backend=on) == len(values)
    # Ten keys of one digit, so that key order is the order of the list on every backend.
    page = db.list_keys(20, backend=on)["keys"]
    texts = dict(zip(page, db.list_messages(20, backend=on)["messages"], strict=True))
    assert texts == {str(at): json.dumps(value) for at, value in enumerate(values)}


# 100,000 with `make json`.
MANY = int(os.environ.get("TETHERDB_JSON_VALUES", "2000"))


def test_a_great_many_dicts_are_stored_as_the_text_of_json_dumps(tmp_path: Path) -> None:
    checked = 0
    with DB({"local": {"filepath": str(tmp_path / "store"), "synchronous": "off"}}) as db:

        @given(values=st.lists(DICTS, min_size=10, max_size=10))
        @settings(deadline=None, max_examples=100, database=None)
        def check(values: list[dict[Any, Any]]) -> None:
            nonlocal checked
            db.write_messages({str(at): value for at, value in enumerate(values)})
            assert db.list_messages(10)["messages"] == [json.dumps(value) for value in values]
            checked += len(values)

        # In turns, since hypothesis keeps all that it has tried in a turn.
        begin = random.randrange(1 << 32)
        for turn in range(MANY // 1000):
            print(f"turn {turn} with seed {begin + turn}")
            seed(begin + turn)(check)()
    print(f"{checked} values")
    assert checked >= MANY // 1000 * 1000


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=DICTS)
def test_any_dict_comes_back_as_json_loads_gives_it(value: dict[Any, Any], db: DB, backend: Backend) -> None:
    db.write_message("k", value, backend=backend.name)
    assert repr(db.read_message("k", backend=backend.name)) == repr(json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "text",
        "123",
        "null",
        '"quoted"',
        "[1]",
        "{",
        "{}x",
        "NUL\0inside",
        "é 🔑",
        "\ufeff",
        "x" * 400_000,
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_a_str_is_stored_as_it_is(text: str, db: DB, backend: Backend) -> None:
    db.write_message("k", text, backend=backend.name)
    assert stored_text(db, backend) == text
    assert db.read_message("k", backend=backend.name) == text


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_any_str_is_stored_as_it_is(text: str, db: DB, backend: Backend) -> None:
    db.write_message("k", text, backend=backend.name)
    assert stored_text(db, backend) == text


def test_a_subclass_of_str_is_stored_as_its_text(db: DB, backend: Backend) -> None:
    db.write_message("k", Text("text"), backend=backend.name)
    assert db.read_message("k", backend=backend.name) == "text"


def test_a_mapping_that_is_no_dict_is_a_type_error(db: DB, backend: Backend) -> None:
    # Type checkers refuse it, too.
    value: Any = MappingProxyType({"a": 1})
    with pytest.raises(TypeError, match="Expected str or dict, got mappingproxy"):
        db.write_message("k", value, backend=backend.name)


def test_the_value_is_taken_when_the_call_is_made_also_when_it_is_queued(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db, on = open_db(queue_batch={"timeout": 60}), backend.name
    value = {"a": [1]}
    db.write_queue_message("k", value, backend=on)
    value["a"].append(2)
    db.flush()
    assert db.read_message("k", backend=on) == {"a": [1]}
