"""What is printed is one line where it should be, shows what is there, and steers nothing."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from TetherDB.cli import output
from TetherDB.cli.given import value_of

TEXTS = st.text(st.characters(exclude_categories=()))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@given(TEXTS)
@example("\x1b]0;t\x07\r\n\t\x00\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800")
def test_a_printable_text_is_one_line_without_control(text: str) -> None:
    shown = output.printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)
    # Nothing else is changed.
    assert output.printable(shown) == shown
    if not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp", "Cf") for char in text):
        assert shown == text


@given(TEXTS)
def test_a_readable_text_keeps_its_lines(text: str) -> None:
    shown = output.readable(text)
    assert shown.count("\n") == text.count("\n")
    assert shown.count("\t") == text.count("\t")
    assert output.printable(shown.replace("\n", "").replace("\t", "")) == shown.replace("\n", "").replace(
        "\t", ""
    )


@given(VALUES)
def test_what_is_escaped_in_json_is_the_same_json(value: Any) -> None:
    text = output.printable(json.dumps(value, ensure_ascii=False))
    assert json.loads(text) == json.loads(json.dumps(value))
    text.encode()


@given(st.dictionaries(TEXTS, VALUES))
def test_an_object_is_put_as_what_it_is(value: dict[str, Any]) -> None:
    assert value_of(json.dumps(value), quiet=True) == value
    assert output.value(json.dumps(value)) == value


@given(TEXTS.filter(lambda text: not text.lstrip(" \t\n\r").startswith("{")))
def test_a_text_is_put_as_it_is(text: str) -> None:
    assert value_of(text, quiet=True) == text
    assert output.value(text) == text
