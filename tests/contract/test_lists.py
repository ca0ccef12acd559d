"""`list_messages`, `list_keys` and `iter_messages`."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB

from .backends import Backend, only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .place import Place

# In the order of their UTF-8 bytes.
KEYS = ["0", "A", "a", "a:", "a:b", "aa", "b", "b!", "b:", "b:k", "b:k:x", "b;k", "ba", "é", "鍵", "🔑"]


@pytest.fixture
def filled(db: DB, backend: Backend) -> DB:
    """Has 25 messages in the bucket "b", and some around it."""
    db.write_messages({f"{number:02}": {"n": number} for number in range(25)}, "b", backend.name)
    db.write_messages(
        {"b": "x", "b!": "x", "b;": "x", "ba:00": "x", "a:b:00": "x", "00": "x"}, "", backend.name
    )
    return db


def all_pages(db: DB, verb: str, **arguments: Any) -> Iterator[dict[str, Any]]:
    marker = None
    while True:
        page: dict[str, Any] = getattr(db, verb)(start_after=marker, **arguments)
        yield page
        marker = page["next_marker"]
        if marker is None:
            return


def in_order(keys: list[str], backend: Backend) -> list[str]:
    """As they came where their order is promised."""
    return keys if backend.ordered_lists else sorted(keys)


ordered = only(lambda backend: backend.ordered_lists)


@pytest.mark.parametrize("verb", ["list_messages", "list_keys"])
def test_a_list_of_nothing_is_an_empty_page(verb: str, db: DB, backend: Backend) -> None:
    name = verb.removeprefix("list_")
    page = getattr(db, verb)(backend=backend.name)
    assert page == {name: [], "next_marker": None}
    db.write_message("k", "v", "b", backend.name)
    assert getattr(db, verb)(bucket="other", backend=backend.name) == page


def test_list_keys_gives_a_dict_of_keys_and_marker(db: DB, backend: Backend) -> None:
    db.write_message("k", "v", backend=backend.name)
    page = db.list_keys(backend=backend.name)
    assert type(page) is dict
    assert page == {"keys": ["k"], "next_marker": None}


def test_list_messages_gives_stored_texts_not_values(db: DB, backend: Backend) -> None:
    db.write_message("k", {"a": (1, 2), "é": None}, backend=backend.name)
    page = db.list_messages(backend=backend.name)
    assert page == {"messages": ['{"a": [1, 2], "\\u00e9": null}'], "next_marker": None}


@pytest.mark.parametrize(("verb", "name"), [("list_messages", "messages"), ("list_keys", "keys")])
def test_a_page_has_ten_entries_unless_told_otherwise(
    verb: str, name: str, filled: DB, backend: Backend
) -> None:
    page = getattr(filled, verb)(bucket="b", backend=backend.name)
    assert len(page[name]) == 10
    assert page["next_marker"] is not None


@pytest.mark.parametrize("page_size", [1, 2, 3, 24, 25, 26, 10**6, 2**31, 2**64, 10**30])
def test_pages_put_together_are_the_whole_bucket_each_once(
    page_size: int, filled: DB, backend: Backend
) -> None:
    arguments: dict[str, Any] = {"page_size": page_size, "bucket": "b", "backend": backend.name}
    pages = list(all_pages(filled, "list_keys", **arguments))
    keys = [key for page in pages for key in page["keys"]]
    assert in_order(keys, backend) == [f"{number:02}" for number in range(25)]
    # All but the last are full.
    assert all(len(page["keys"]) == page_size for page in pages[:-1])
    assert len(pages[-1]["keys"]) <= page_size
    texts = [text for page in all_pages(filled, "list_messages", **arguments) for text in page["messages"]]
    assert texts == [f'{{"n": {int(key)}}}' for key in keys]


@pytest.mark.parametrize("page_size", [5, 25])
@pytest.mark.parametrize(("verb", "name"), [("list_messages", "messages"), ("list_keys", "keys")])
@only(lambda backend: backend.exact_last_page)
def test_next_marker_is_none_on_the_last_page_also_when_it_is_full(
    page_size: int, verb: str, name: str, filled: DB, backend: Backend
) -> None:
    arguments: dict[str, Any] = {"page_size": page_size, "bucket": "b", "backend": backend.name}
    pages = list(all_pages(filled, verb, **arguments))
    assert len(pages) == 25 // page_size
    assert all(len(page[name]) == page_size for page in pages)


@pytest.mark.parametrize("page_size", [5, 25])
@pytest.mark.parametrize("bucket", ["", "only"])
@only(lambda backend: not backend.exact_last_page)
def test_a_full_last_page_may_carry_a_marker_that_leads_to_an_empty_page(
    page_size: int, bucket: str, db: DB, backend: Backend
) -> None:
    db.write_messages({f"{number:02}": "v" for number in range(25)}, bucket, backend.name)
    arguments: dict[str, Any] = {"page_size": page_size, "bucket": bucket, "backend": backend.name}
    counts = [len(page["keys"]) for page in all_pages(db, "list_keys", **arguments)]
    full = [page_size] * (25 // page_size)
    assert counts in (full, [*full, 0])


def test_a_marker_is_a_key_of_its_page_relative_to_the_bucket(filled: DB, backend: Backend) -> None:
    for bucket in ("b", ""):
        page = filled.list_keys(3, bucket=bucket, backend=backend.name)
        assert page["next_marker"] == page["keys"][-1]
        texts = filled.list_messages(3, bucket=bucket, backend=backend.name)
        assert texts["next_marker"] == page["next_marker"]


@ordered
def test_pages_go_on_behind_any_key(filled: DB, backend: Backend) -> None:
    assert filled.list_keys(3, bucket="b", backend=backend.name)["next_marker"] == "02"
    assert filled.list_messages(3, "02", "b", backend.name)["next_marker"] == "05"
    assert filled.list_keys(1, "b:05", backend=backend.name)["keys"] == ["b:06"]


@ordered
def test_start_after_may_be_a_key_that_does_not_exist(filled: DB, backend: Backend) -> None:
    assert filled.list_keys(2, "02x", "b", backend.name)["keys"] == ["03", "04"]
    assert filled.list_keys(2, "zz", "b", backend.name) == {"keys": [], "next_marker": None}
    assert filled.list_keys(2, "!", "b", backend.name)["keys"] == ["00", "01"]


def test_the_order_of_a_list_is_the_same_each_time(filled: DB, backend: Backend) -> None:
    keys = filled.list_keys(100, backend=backend.name)["keys"]
    for page_size in (1, 4, 100):
        arguments: dict[str, Any] = {"page_size": page_size, "backend": backend.name}
        assert [key for page in all_pages(filled, "list_keys", **arguments) for key in page["keys"]] == keys
        assert [key for key, _ in filled.iter_messages("", backend.name, page_size)] == keys


def test_a_marker_stays_good_when_its_key_is_deleted(filled: DB, backend: Backend) -> None:
    on = backend.name
    page = filled.list_keys(10, bucket="b", backend=on)
    filled.delete_messages(page["keys"], "b", on)
    rest = filled.list_keys(100, page["next_marker"], "b", on)["keys"]
    assert len(rest) == 15
    assert not set(rest) & set(page["keys"])


def test_without_a_bucket_everything_is_listed_under_full_keys(filled: DB, backend: Backend) -> None:
    keys = filled.list_keys(100, backend=backend.name)["keys"]
    around = ["b", "b!", "b;", "ba:00", "a:b:00", "00"]
    assert sorted(keys) == sorted([*around, *(f"b:{number:02}" for number in range(25))])


def test_a_bucket_filter_matches_the_bucket_and_a_colon_and_nothing_else(db: DB, backend: Backend) -> None:
    on = backend.name
    db.write_messages(
        dict.fromkeys(["b:", "b:k", "b:k:x", "b", "b!", "b;k", "ba", "ab:k", "B:k"], "v"), "", on
    )
    keys = db.list_keys(100, bucket="b", backend=on)["keys"]
    assert sorted(keys) == ["", "k", "k:x"]
    assert len(db.list_messages(100, bucket="b", backend=on)["messages"]) == 3
    assert sorted(key for key, _ in db.iter_messages("b", on)) == ["", "k", "k:x"]


@pytest.mark.parametrize(
    "bucket", ["%", "_", "*", "?", "[a]", "a%", "\\", "'", "\U0010ffff", "\0"], ids=ascii
)
def test_a_bucket_filter_knows_no_wildcards(bucket: str, db: DB, backend: Backend) -> None:
    on = backend.name
    db.write_messages(dict.fromkeys(["a:k", "ab:k", "x", f"{bucket}k"], "v"), "", on)
    assert db.list_keys(bucket=bucket, backend=on)["keys"] == []
    db.write_message("k", "v", bucket, on)
    assert db.list_keys(bucket=bucket, backend=on)["keys"] == ["k"]


@ordered
def test_lists_are_in_the_order_of_the_bytes_of_the_keys(db: DB, backend: Backend) -> None:
    assert sorted(KEYS, key=str.encode) == KEYS
    db.write_messages([(key, f"text of {key}") for key in reversed(KEYS)], backend=backend.name)
    assert db.list_keys(100, backend=backend.name)["keys"] == KEYS
    texts = db.list_messages(100, backend=backend.name)["messages"]
    assert texts == [f"text of {key}" for key in KEYS]
    assert [key for key, _ in db.iter_messages(backend=backend.name)] == KEYS


@pytest.mark.parametrize("verb", ["list_messages", "list_keys", "iter_messages"])
@pytest.mark.parametrize("wrong", [0, -1, -(10**30)])
def test_a_page_size_below_one_is_a_value_error(verb: str, wrong: int, db: DB, backend: Backend) -> None:
    with pytest.raises(ValueError, match="page_size"):
        getattr(db, verb)(page_size=wrong, backend=backend.name)


@pytest.mark.parametrize("verb", ["list_messages", "list_keys", "iter_messages"])
@pytest.mark.parametrize("wrong", ["10", 1.5, 10.0, True, [10]], ids=ascii)
def test_a_page_size_of_another_type_is_a_type_error(verb: str, wrong: Any, db: DB, backend: Backend) -> None:
    with pytest.raises(TypeError, match=r"page_size"):
        getattr(db, verb)(page_size=wrong, backend=backend.name)


@pytest.mark.parametrize("verb", ["list_messages", "list_keys"])
@pytest.mark.parametrize("wrong", [1, b"k", ["k"]], ids=ascii)
def test_a_start_after_of_another_type_is_a_type_error(
    verb: str, wrong: Any, db: DB, backend: Backend
) -> None:
    with pytest.raises(TypeError, match=r"start_after"):
        getattr(db, verb)(start_after=wrong, backend=backend.name)


@pytest.mark.parametrize("page_size", [1, 7, 25, 1000])
def test_iter_messages_gives_every_key_with_its_value_whatever_the_page_size(
    page_size: int, filled: DB, backend: Backend
) -> None:
    pairs = list(filled.iter_messages("b", backend.name, page_size))
    assert sorted(pairs, key=lambda pair: pair[0]) == [(f"{n:02}", {"n": n}) for n in range(25)]


def test_iter_messages_without_a_bucket_gives_full_keys(filled: DB, backend: Backend) -> None:
    pairs = dict(filled.iter_messages(backend=backend.name))
    assert len(pairs) == 31
    assert pairs["b:07"] == {"n": 7}
    assert pairs["b!"] == "x"


def test_iter_messages_of_nothing_ends_at_once(db: DB, backend: Backend) -> None:
    assert list(db.iter_messages(backend=backend.name)) == []


def test_iter_messages_is_an_iterator_that_stays_exhausted(filled: DB, backend: Backend) -> None:
    messages = filled.iter_messages("b", backend.name)
    assert iter(messages) is messages
    assert len(list(messages)) == 25
    assert list(messages) == []
    with pytest.raises(StopIteration):
        next(messages)


def test_iter_messages_is_lazy(filled: DB, backend: Backend) -> None:
    on = backend.name
    messages = filled.iter_messages("b", on, page_size=5)
    seen = [next(messages)[0] for _ in range(5)]
    rest = [f"{n:02}" for n in range(25) if f"{n:02}" not in seen]
    # Of what is gone before its page is fetched nothing is seen.
    filled.delete_messages(rest[10:], "b", on)
    assert sorted(key for key, _ in messages) == rest[:10]


def test_iter_messages_may_be_left_early_and_the_handle_stays_usable(filled: DB, backend: Backend) -> None:
    for _, value in filled.iter_messages("b", backend.name, page_size=2):
        assert isinstance(value, dict)
        break
    assert filled.write_message("k", "v", "b", backend.name) is True


def test_writing_while_iterating_is_allowed(filled: DB, backend: Backend) -> None:
    on = backend.name
    for key, _ in filled.iter_messages("b", on, page_size=3):
        assert filled.update_message(key, "seen", "b", on) is True
    assert [value for _, value in filled.iter_messages("b", on)] == ["seen"] * 25


def test_an_iterator_keeps_its_handle_alive(filled: DB, backend: Backend, place: Place, path: Path) -> None:
    def messages() -> Iterator[tuple[str, Any]]:
        # Nothing else refers to this handle but its iterator.
        db = DB({"local": {"filepath": str(path)}, **place.config})
        return db.iter_messages("b", backend.name, page_size=2)

    found = messages()
    gc.collect()
    assert len(list(found)) == 25


def test_a_list_sees_what_was_written_before_it(db: DB, backend: Backend) -> None:
    on = backend.name
    for number in range(20):
        db.write_message(f"{number:02}", "v", backend=on)
        assert len(db.list_keys(100, backend=on)["keys"]) == number + 1
    for number in range(20):
        db.delete_message(f"{number:02}", backend=on)
        assert len(db.list_messages(100, backend=on)["messages"]) == 19 - number


@only(lambda backend: backend.pages_of_one_moment)
def test_a_page_shows_one_moment(open_db: Callable[..., DB], backend: Backend) -> None:
    writer, reader, on = open_db(), open_db(), backend.name
    # More than one request of a page brings, and as many as change together.
    for start in range(0, 600, 100):
        writer.write_messages({f"{number:03}": "0" for number in range(start, start + 100)}, backend=on)
    done = threading.Event()
    together = ["000", "599"]

    def write() -> None:
        try:
            for turn in range(1, 100):
                writer.write_messages(dict.fromkeys(together, str(turn)), backend=on)
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    differing: list[tuple[str, str]] = []
    while not done.is_set():
        texts = reader.list_messages(1000, backend=on)["messages"]
        if texts[0] != texts[-1]:
            differing.append((texts[0], texts[-1]))
    thread.join()
    assert differing == []


def test_a_bucket_is_found_beside_much_else(db: DB, backend: Backend) -> None:
    on = backend.name
    # Beyond what one answer of any backend brings.
    much = {f"{number:03}": f"{number}".rjust(100_000) for number in range(60)}
    db.write_messages(much, "much", on)
    few = {f"{number}": str(number) for number in range(5)}
    db.write_messages(few, "few", on)
    db.write_messages(few, "zzz", on)
    for page_size in (1, 2, 5, 100):
        assert dict(db.iter_messages("few", on, page_size)) == few
    pages = list(all_pages(db, "list_keys", page_size=2, bucket="zzz", backend=on))
    assert sorted(key for page in pages for key in page["keys"]) == sorted(few)
    assert sorted(db.list_messages(100, bucket="much", backend=on)["messages"]) == sorted(much.values())
    assert len(db.list_keys(100, backend=on)["keys"]) == 70
    assert db.list_keys(bucket="none", backend=on) == {"keys": [], "next_marker": None}
