"""What the browser shows, without a window: values made readable, keys in order, buckets counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from TetherDB.cli.browse import listing, pretty
from TetherDB.cli.browse.listing import Listing, before
from TetherDB.cli.browse.places import MOST_BUCKETS, Found, Place
from TetherDB.cli.browse.records import WrongText, difference, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_indented_json_is_the_same_value_and_harmless(value: dict[str, Any]) -> None:
    shown = pretty.show(json.dumps(value))
    assert shown.is_json
    assert shown.left_out == 0
    assert json.loads(shown.text) == value
    assert all(line.isprintable() for line in shown.text.split("\n"))


def test_json_keeps_the_spelling_of_numbers_and_shows_letters() -> None:
    shown = pretty.show('{"a":1.50,"b":[],"c":{},"d":[1,{"e":"Z\\u00fcrich"}],"a":1E400}')
    assert shown.text == (
        '{\n  "a": 1.50,\n  "b": [],\n  "c": {},\n  "d": [\n    1,\n    {\n      "e": "Zürich"\n    }\n  ],\n'
        '  "a": 1E400\n}'
    )


@pytest.mark.parametrize("text", ["[1]", "123", "null", "{", '{"a": }', "{" * 100_000, '{"a":' * 100_000])
def test_what_is_no_object_is_shown_as_it_is(text: str) -> None:
    shown = pretty.show(text)
    assert not shown.is_json
    assert shown.text == text[: pretty.MOST_SHOWN]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", "0 bytes"),
        ("a", "1 byte"),
        ("é" * 600, "1.2 KiB (1,200 bytes)"),
        ("a" * 1024 * 1024, "1.0 MiB (1,048,576 bytes)"),
    ],
)
def test_sizes(text: str, size: str) -> None:
    assert pretty.size_of(text) == size


# No surrogates: no key has them.
KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(KEYS, KEYS)
def test_a_search_begins_before_all_that_begins_so(query: str, rest: str) -> None:
    marker = before(query)
    assert marker is None or (marker < query and marker < query + rest)
    if marker is not None:
        marker.encode()


@given(st.sets(st.text("abé\U0010ffff:", min_size=1, max_size=6), max_size=60), st.text("abAB:", max_size=3))
def test_a_listing_finds_each_key_once(keys: set[str], query: str) -> None:
    ordered = sorted(keys)

    def list_page(size: int, after: str | None, bucket: str, _backend: str) -> Any:
        prefix = f"{bucket}:" if bucket else ""
        own = [key[len(prefix) :] for key in ordered if key.startswith(prefix) and key != prefix]
        left = [key for key in own if after is None or key > after]
        page = left[: min(size, 7)]
        return {"keys": page, "next_marker": page[-1] if len(left) > len(page) else None}

    for backend in ("local", "dynamodb"):
        for bucket in (None, "", "a"):
            place = Place(backend, bucket)
            found = Listing(place, query)
            while (step := found.wanted(found.rows, found.rows)) is not None:
                found.take(found.fetch(list_page, step), 0, 1)
            listed = [found.key(row) for row in range(found.rows)]
            wanted = [key for key in ordered if place.holds(key) and key != "a:"]
            wanted = [key for key in wanted if query.casefold() in place.shown(key).casefold()]
            assert sorted(key for key in listed if key not in (None, "a:")) == wanted, (place, query)


def test_a_listing_follows_changes(open_db: Callable[..., DB], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "KEPT", 300)
    db = open_db()
    db.write_messages({f"{n:04}": "v" for n in range(1000)})
    found = Listing(Place("local"))

    def load(first: int, last: int) -> None:
        while (step := found.wanted(first, last)) is not None:
            found.take(found.fetch(db.list_keys, step), first, last)

    def scroll() -> None:
        for row in range(0, 1100, 50):
            load(row, row + 20)

    scroll()
    assert found.rows == 1000
    assert found.loaded <= 400
    assert found.key(0) is None
    assert found.key(999) == "0999"
    # A page that is read again has another key in it: what is behind is read again as well.
    db.write_message("0000a", "v")
    load(0, 10)
    assert [found.key(row) for row in range(3)] == ["0000", "0000a", "0001"]
    assert found.rows == 200
    scroll()
    assert found.rows == 1001
    assert found.key(1000) == "0999"


def test_counting_buckets_takes_no_more_memory_with_more_of_them() -> None:
    found = Found("local")
    found.begin()
    found.take(f"bucket{n}:key" for n in range(MOST_BUCKETS * 3))
    found.state = "done"
    assert len(found.counts) == MOST_BUCKETS
    assert found.others == 2 * MOST_BUCKETS
    assert found.count(None) == 3 * MOST_BUCKETS


def test_typed_values() -> None:
    assert parse('{"a": 1}', as_json=True) == {"a": 1}
    assert parse('{"a": 1', as_json=False) == '{"a": 1'
    for wrong in ("", "[]", '"text"', "{" * 100_000, '{"a": ' + "1" * 10_000 + "}"):
        with pytest.raises(WrongText):
            parse(wrong, as_json=True)


def test_differences() -> None:
    assert difference('{"a": 1, "b": 2}', '{"a": 1, "b": 3}') == [
        " {",
        '   "a": 1,',
        '-  "b": 2',
        '+  "b": 3',
        " }",
    ]
    assert difference(None, "new\x1b") == ["+new\\u001b"]
    assert difference('{"a":1}', '{"a": 1}') == ["only blanks, or the spelling of the same values"]
    assert difference("same", "same") == []
