"""Values on their way out: a `dict` where the stored text is a JSON object, else the `str` as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from TetherDB import DB

if TYPE_CHECKING:
    from .backends import Backend

OBJECTS = [
    "{}",
    " {} ",
    '\n\t {"a" : 1 }\r\n',
    '{"a": -0}',
    '{"a": -0.0}',
    '{"a": 0.0, "b": 1E5, "c": 1e-5, "d": 1.0e+2}',
    '{"a": 1e400, "b": -1e400, "c": 1e-400}',
    '{"a": 9007199254740993, "b": 9223372036854775808, "c": -9223372036854775809}',
    '{"a": ' + "9" * 4000 + "}",
    '{"a": 0.1, "b": 0.30000000000000004, "c": 2.2250738585072014e-308, "d": 5e-324}',
    '{"a": 123456789012345678901234567890.123456789}',
    '{"a": NaN, "b": Infinity, "c": -Infinity}',
    '{"a": 1, "b": 2, "a": 3}',
    '{"a": {"x": 1, "x": 2}}',
    '{"": 1}',
    '{"a": "\\ud800", "b": "\\udfff\\ud800", "c": "\\ud83d\\ude00"}',
    '{"\\ud800": 1}',
    '{"a": "\\u0000\\u001f\\u007f\\/\\b\\f\\n\\r\\t\\"\\\\"}',
    '{"a": "é 鍵 🔑 \u2028\u2029"}',
    '{"a": "\x7f"}',
    '{"a": [true, false, null, [], {}, [[]]]}',
    '{"true": true, "1": 1}',
    '{"a": ' + "[" * 150 + "]" * 150 + "}",
    '{"a":' * 300 + "1" + "}" * 300,
]
OTHERS = [
    "",
    " ",
    "text",
    "123",
    "-0",
    "1e400",
    "null",
    "true",
    "NaN",
    '"quoted"',
    "[]",
    '[{"a": 1}]',
    "{",
    "}",
    "{]",
    "{}{}",
    "{} x",
    "{'a': 1}",
    "{a: 1}",
    '{"a"}',
    '{"a":}',
    '{"a": 1,}',
    '{,"a": 1}',
    '{"a": 01}',
    '{"a": 1.}',
    '{"a": .5}',
    '{"a": +1}',
    '{"a": 0x1}',
    '{"a": - 1}',
    '{"a": nan}',
    '{"a": +Infinity}',
    '{"a": -NaN}',
    '{"a": "\n"}',
    '{"a": "\0"}',
    '{"a": "\\x"}',
    '{"a": "\\u12"}',
    '{"a": "\\u+123"}',
    '{"a": "unfinished',
    '{"a": 1} // comment',
    '/* */ {"a": 1}',
    '\ufeff{"a": 1}',
    '\u00a0{"a": 1}',
    '\f{"a": 1}',
    '\v{"a": 1}',
    '{"a": 1}\0',
    '{"a": 1}\u2028',
    "{1: 2}",
    "{null: 2}",
    '{"a": undefined}',
    '{"a": ' + "1" * 5000 + "}",
]


def expected(text: str) -> Any:
    """What the contract says that reading gives."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return cast("object", value) if isinstance(value, dict) else text


def assert_reads_as_expected(text: str, db: DB, backend: Backend) -> None:
    on = backend.name
    wanted = repr(expected(text))
    # repr tells 1 from True and 1.0, and takes NaN for equal to itself.
    assert repr(db.read_message("k", backend=on)) == wanted
    assert repr(db.read_messages(["k"], backend=on)) == f"{{'k': {wanted}}}"
    assert repr(list(db.iter_messages(backend=on))) == f"[('k', {wanted})]"
    assert db.list_messages(backend=on)["messages"] == [text]


@pytest.mark.parametrize("text", OBJECTS, ids=lambda text: ascii(text[:40]))
def test_a_stored_json_object_reads_as_the_dict_of_json_loads(text: str, db: DB, backend: Backend) -> None:
    assert isinstance(expected(text), dict)
    db.write_message("k", text, backend=backend.name)
    assert_reads_as_expected(text, db, backend)


@pytest.mark.parametrize("text", OTHERS, ids=lambda text: ascii(text[:40]))
def test_any_other_text_reads_as_the_str_it_is(text: str, db: DB, backend: Backend) -> None:
    assert expected(text) == text
    db.write_message("k", text, backend=backend.name)
    assert_reads_as_expected(text, db, backend)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Valid and broken JSON alike: pieces put together at random, most often within braces.
PIECES = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"\\ \n\t-+.eE01é\0\x7f',
            *['"a"', '"a": ', "1", "-0", "1e400", "0.1", "9" * 30, '{"b": 2}', "[1]"],
            *["null", "true", "NaN", "Infinity", "-Infinity", "\\u", "d800", "\\ud83d\\ude00"],
        ]
    ),
    max_size=8,
).map("".join)
TEXTS = (
    st.dictionaries(st.text(), JSON, max_size=4).map(json.dumps)
    | st.builds(json.dumps, st.dictionaries(st.text(), JSON, max_size=4), ensure_ascii=st.just(False))
    | st.dictionaries(st.text(), JSON, max_size=4).map(lambda value: json.dumps(value, indent=1))
    | JSON.map(json.dumps)
    | PIECES
    | PIECES.map(lambda inside: '{"a": ' + inside + "}")
    | PIECES.map(lambda inside: '{"a": "' + inside + '"}')
    | st.text()
)


@settings(deadline=None, max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
@example(text='{"a": 1, "a": 1e400}')
def test_any_text_reads_as_json_loads_says(text: str, db: DB, backend: Backend) -> None:
    db.write_message("k", text, backend=backend.name)
    assert_reads_as_expected(text, db, backend)


def test_each_read_gives_a_dict_of_its_own(db: DB, backend: Backend) -> None:
    db.write_message("k", {"a": [1]}, backend=backend.name)
    first = db.read_message("k", backend=backend.name)
    assert isinstance(first, dict)
    first["a"].append(2)
    assert db.read_message("k", backend=backend.name) == {"a": [1]}


def test_a_dict_reads_as_a_dict_exactly(db: DB, backend: Backend) -> None:
    db.write_message("k", {"b": 1, "a": (1, 2), 3: None}, backend=backend.name)
    found = db.read_message("k", backend=backend.name)
    assert type(found) is dict
    assert list(found.items()) == [("b", 1), ("a", [1, 2]), ("3", None)]
