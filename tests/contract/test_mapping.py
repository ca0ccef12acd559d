"""`db.mapping`: the records of a bucket, used like a dict."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import MutableMapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, BackendError, BackendNotConfigured, LimitExceeded
from TetherDB._mapping import MessageMapping

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from .backends import Backend
    from .place import Place

pytestmark = pytest.mark.sync_only("a mapping has no coroutines")

ITEMS: dict[str, Any] = {"a": "1", "b": {"n": 2}, "ç:d": ""}


@pytest.fixture
def users(db: DB, backend: Backend) -> MessageMapping:
    """A mapping of the bucket `users`, empty at first."""
    return db.mapping("users", backend.name)


@pytest.fixture
def filled(users: MessageMapping, place: Place) -> MessageMapping:
    """The same with `ITEMS` in it; and there are others beside it."""
    users.update(ITEMS)
    place.put("users", "no bucket")
    place.put("users2:a", "another bucket")
    return users


def test_it_is_a_mutable_mapping(users: MessageMapping) -> None:
    assert isinstance(users, MutableMapping)


def test_what_is_assigned_is_stored_in_the_bucket(
    users: MessageMapping, db: DB, backend: Backend, place: Place
) -> None:
    users["a"] = "1"
    users["b"] = {"n": (2, 3)}
    users["a"] = "new"
    assert place.everything() == {"users:a": "new", "users:b": '{"n": [2, 3]}'}
    assert users["a"] == "new"
    assert users["b"] == {"n": [2, 3]} == db.read_message("b", "users", backend.name)


def test_it_keeps_nothing_itself(users: MessageMapping, place: Place) -> None:
    place.put("users:a", "theirs")
    assert users["a"] == "theirs"
    place.delete("users:a")
    assert "a" not in users


def test_a_missing_key_raises(filled: MessageMapping) -> None:
    with pytest.raises(KeyError) as caught:
        filled["missing"]
    assert caught.value.args == ("missing",)
    with pytest.raises(KeyError) as caught:
        del filled["missing"]
    assert caught.value.args == ("missing",)
    with pytest.raises(KeyError) as caught:
        filled.pop("missing")
    assert caught.value.args == ("missing",)


def test_a_key_can_be_deleted(filled: MessageMapping, place: Place) -> None:
    del filled["a"]
    assert "a" not in filled
    assert sorted(place.everything()) == ["users", "users2:a", "users:b", "users:ç:d"]


@pytest.mark.parametrize("key", [5, None, b"a", ("a",), ""], ids=ascii)
def test_what_cannot_be_a_key_is_no_key(key: Any, filled: MessageMapping, place: Place) -> None:
    assert key not in filled
    assert filled.get(key, 7) == 7
    assert filled.pop(key, 7) == 7
    with pytest.raises(KeyError):
        filled[key]
    with pytest.raises(KeyError):
        del filled[key]
    before = place.everything()
    error = ValueError if key == "" else TypeError
    with pytest.raises(error, match="key"):
        filled[key] = "v"
    with pytest.raises(error, match="key"):
        filled.setdefault(key, "v")
    with pytest.raises(error, match="key"):
        filled.update([("c", "3"), (key, "v")])
    assert place.everything() == before


def test_what_cannot_be_a_value_raises_and_writes_nothing(filled: MessageMapping, place: Place) -> None:
    before = place.everything()
    wrong: Any = ["list"]
    with pytest.raises(TypeError, match="Expected str or dict, got list"):
        filled["a"] = wrong
    with pytest.raises(TypeError, match="Expected str or dict, got NoneType"):
        filled.setdefault("new")
    with pytest.raises(TypeError, match="Expected str or dict, got list"):
        filled.update({"new": "v", "a": wrong})
    assert place.everything() == before


def test_looking_up(filled: MessageMapping) -> None:
    assert {"a", "b", "ç:d"} <= filled.keys()
    assert "users" not in filled
    assert filled.get("b") == {"n": 2}
    assert filled.get("missing") is None
    assert filled.get("missing", 5) == 5
    # An empty text is a value.
    assert filled.get("ç:d", "default") == ""
    assert filled.setdefault("ç:d", "default") == ""
    assert filled.pop("ç:d", "default") == ""


def test_views(filled: MessageMapping) -> None:
    assert sorted(filled) == sorted(filled.keys()) == ["a", "b", "ç:d"]
    assert dict(filled.items()) == dict(filled) == ITEMS
    assert sorted(map(str, filled.values())) == sorted(map(str, ITEMS.values()))
    assert {"n": 2} in filled.values()
    assert "no bucket" not in filled.values()
    assert ("a", "1") in filled.items()
    assert ("a", "2") not in filled.items()
    assert ("missing", "1") not in filled.items()
    assert len(filled) == len(filled.keys()) == len(filled.values()) == len(filled.items()) == 3
    views = filled.keys(), filled.items(), filled.values()
    filled["new"] = "v"
    assert [len(list(view)) for view in views] == [4, 4, 4]


def test_views_are_in_key_order_where_lists_are(filled: MessageMapping, backend: Backend) -> None:
    if backend.ordered_lists:
        assert list(filled) == list(ITEMS)
        assert list(filled.items()) == list(ITEMS.items())
        assert list(filled.values()) == list(ITEMS.values())
    else:
        assert set(filled) == set(ITEMS)


def test_truth_and_length(users: MessageMapping, place: Place) -> None:
    place.put("users2:a", "another bucket")
    assert not users
    assert len(users) == 0
    users["a"] = "1"
    assert users
    assert len(users) == 1


def test_equality_is_that_of_mappings(filled: MessageMapping, db: DB, backend: Backend) -> None:
    assert filled == ITEMS
    assert ITEMS == filled  # noqa: SIM300 (a dict asks the mapping, too)
    assert filled == MappingProxyType(ITEMS)
    assert filled == db.mapping("users", backend.name)
    assert filled != db.mapping("users2", backend.name)
    assert filled != {**ITEMS, "a": "2"}
    pairs: object = list(ITEMS.items())
    assert filled != pairs
    with pytest.raises(TypeError, match="unhashable"):
        hash(filled)


def test_pop_gives_and_deletes(filled: MessageMapping) -> None:
    assert filled.pop("b") == {"n": 2}
    assert "b" not in filled
    assert filled.pop("b", 5) == 5
    assert filled.pop("b", None) is None


def test_popitem_gives_each_once_and_leaves_the_others(filled: MessageMapping, place: Place) -> None:
    assert dict(filled.popitem() for _ in ITEMS) == ITEMS
    with pytest.raises(KeyError, match="empty"):
        filled.popitem()
    assert sorted(place.everything()) == ["users", "users2:a"]


def test_setdefault_writes_only_what_is_missing(filled: MessageMapping, place: Place) -> None:
    assert filled.setdefault("a", "other") == "1"
    assert filled.setdefault("new", "other") == "other"
    stored = place.everything()
    assert (stored["users:a"], stored["users:new"]) == ("1", "other")


class HasKeys:
    """All that `dict.update` asks of what is no mapping."""

    def keys(self) -> list[str]:
        return list(ITEMS)

    def __getitem__(self, key: str) -> Any:
        return ITEMS[key]


@pytest.mark.parametrize(
    "other",
    [ITEMS, MappingProxyType(ITEMS), HasKeys(), list(ITEMS.items())],
    ids=["dict", "proxy", "keys", "pairs"],
)
def test_update_takes_what_the_update_of_a_dict_takes(other: Any, users: MessageMapping) -> None:
    users["a"] = "old"
    users.update(other, e="4", a="last")
    assert users == {**ITEMS, "a": "last", "e": "4"}
    users.update()
    users.update(iter(ITEMS.items()))
    assert users == {**ITEMS, "e": "4"}


def test_update_takes_another_mapping_of_the_store(filled: MessageMapping, db: DB, backend: Backend) -> None:
    copy = db.mapping("copy", backend.name)
    copy.update(filled)
    assert copy == ITEMS


def test_update_takes_many_records(users: MessageMapping) -> None:
    keep = {f"{number:04}": "v" for number in range(1500)}
    users.update(keep)
    assert users == keep


class Recorded:
    """Notes what a mapping asks for."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, Any]]] = []

    def write_many(self, items: Any) -> int:
        self.calls.append(list(items))
        return len(self.calls[-1])


def test_update_is_one_call_and_so_one_batch() -> None:
    records: Any = Recorded()
    MessageMapping(records).update(ITEMS, e="4")
    assert records.calls == [[*ITEMS.items(), ("e", "4")]]


def test_clear_deletes_the_bucket_and_nothing_else(filled: MessageMapping, place: Place) -> None:
    filled.update({f"{number:04}": "v" for number in range(2100)})
    assert len(filled) == 2103
    filled.clear()
    assert len(filled) == 0
    assert place.everything() == {"users": "no bucket", "users2:a": "another bucket"}
    filled.clear()


def test_without_a_bucket_it_is_all_records_under_full_keys(
    filled: MessageMapping, db: DB, backend: Backend, place: Place
) -> None:
    everything = db.mapping(backend=backend.name)
    assert {"users", "users2:a", "users:a", "users:b", "users:ç:d"} == set(everything)
    assert everything["users:b"] == {"n": 2}
    del everything["users:b"]
    assert "b" not in filled
    everything.clear()
    assert place.everything() == {}


def test_records_may_be_deleted_while_it_is_iterated(users: MessageMapping) -> None:
    users.update({f"{number:04}": "v" for number in range(2100)})
    for key in users:
        del users[key]
    assert len(users) == 0


def test_an_assignment_stays_behind_an_older_queued_write_of_its_key(
    open_db: Callable[..., DB], backend: Backend
) -> None:
    db = open_db(queue_batch={"timeout": 60})
    db.write_queue_message("a", "queued", "users", backend.name)
    users = db.mapping("users", backend.name)
    users["a"] = "direct"
    db.flush()
    assert users["a"] == "direct"


# Each way to use a mapping, on a backend that fails.
USES: dict[str, Callable[[MessageMapping], object]] = {
    "get item": lambda users: users["a"],
    "set item": lambda users: users.__setitem__("a", "1"),
    "delete item": lambda users: users.__delitem__("a"),
    "in": lambda users: "a" in users,
    "iter": lambda users: list(iter(users)),
    "len": len,
    "bool": bool,
    "keys": lambda users: list(users.keys()),
    "items": lambda users: next(iter(users.items())),
    "values": lambda users: next(iter(users.values())),
    "get": lambda users: users.get("a", "default"),
    "pop": lambda users: users.pop("a", "default"),
    "popitem": lambda users: users.popitem(),
    "setdefault": lambda users: users.setdefault("a", "1"),
    "update": lambda users: users.update(a="1"),
    "clear": lambda users: users.clear(),
    "==": lambda users: users == {},
}


@pytest.mark.parametrize("errors", ["raise", "log"])
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_what_fails_raises_whatever_errors_says(
    use: Callable[[MessageMapping], object],
    errors: str,
    broken: Callable[..., DB],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    users = broken(errors=errors).mapping("users", backend.name)
    with pytest.raises(BackendError) as caught:
        use(users)
    assert caught.value.backend == backend.name
    # Raised is not logged as well.
    assert caplog.records == []


def test_with_errors_log_the_verbs_beside_it_still_log(
    broken: Callable[..., DB], backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    db = broken(errors="log")
    with pytest.raises(BackendError):
        db.mapping("users", backend.name)["a"]
    assert db.read_message("a", "users", backend.name) is None
    assert list(db.iter_messages("users", backend.name)) == []
    assert len(caplog.records) == 2


def test_with_errors_log_a_wrong_argument_raises_too(open_db: Callable[..., DB], backend: Backend) -> None:
    users = open_db(errors="log").mapping("users", backend.name)
    wrong: Any = 5
    with pytest.raises(TypeError, match="key"):
        users[wrong] = "v"


def test_a_record_that_is_too_large_raises(users: MessageMapping, backend: Backend) -> None:
    if backend.largest_item is not None:
        with pytest.raises(LimitExceeded):
            users["a"] = "x" * backend.room
        assert "a" not in users


def test_a_record_that_cannot_be_read_raises_at_its_key(
    users: MessageMapping, backend: Backend, place: Place
) -> None:
    users["a"] = "1"
    place.put_unreadable("users:b", next(iter(backend.unreadable.values())))
    assert users["a"] == "1"
    assert sorted(users) == ["a", "b"]
    for read in (
        lambda: users["b"],
        lambda: users.get("b"),
        lambda: dict(users.items()),
        lambda: "b" in users,
    ):
        with pytest.raises(BackendError, match=backend.unreadable_says):
            read()


@pytest.mark.parametrize("errors", ["raise", "log"])
def test_a_wrong_argument_of_mapping_raises_at_once(errors: str, path: Any) -> None:
    db = DB({"local": {"filepath": str(path)}, "errors": errors})
    wrong: Any = 5
    with pytest.raises(BackendNotConfigured, match="etcd"):
        db.mapping("users", "etcd")
    with pytest.raises(ValueError, match="backend"):
        db.mapping("users", "elsewhere")
    with pytest.raises(TypeError, match="bucket"):
        db.mapping(wrong)
    db.mapping("users", "local")
    assert not path.exists()


def test_its_repr_names_the_place_and_no_content(filled: MessageMapping, db: DB, backend: Backend) -> None:
    assert repr(filled) == f"<TetherDB mapping: bucket 'users', {backend.name}>"
    assert repr(db.mapping("", backend.name)) == f"<TetherDB mapping: all records, {backend.name}>"


def test_it_cannot_be_pickled(filled: MessageMapping) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(filled)


def test_it_keeps_its_db_and_both_are_collected(path: Any) -> None:
    kept: list[Any] = []
    on_error: Any = kept.append
    db = DB({"local": {"filepath": str(path)}}, on_error=on_error)
    alive = weakref.ref(db)
    users = db.mapping("users")
    items = users.items()
    # A cycle through the handle's `on_error`.
    kept.append(items)
    del db
    gc.collect()
    users["a"] = "1"
    still = alive()
    assert still is not None
    still.stop()
    del still, users, items, kept, on_error
    gc.collect()
    assert alive() is None


def test_importing_the_package_does_not_import_it(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    program = (
        "import sys, TetherDB\n"
        "assert 'TetherDB._mapping' not in sys.modules\n"
        "TetherDB.DB().mapping('b')\n"
        "assert 'TetherDB._mapping' in sys.modules\n"
    )
    done = run_python(program)
    assert (done.returncode, done.stderr) == (0, "")
