"""What ``db.mapping`` returns: the records of a bucket, used like a dict."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from itertools import chain
from typing import TYPE_CHECKING, Any, cast, overload

if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    from TetherDB._tetherdb import Records

    _Value = str | dict[str, Any]
    _Default = TypeVar("_Default")

    class _HasKeys(Protocol):
        def keys(self) -> Iterable[str]: ...
        def __getitem__(self, key: str, /) -> _Value: ...


_PAGE = 1000
_FEW = 10
_REQUIRED: Any = object()


class MessageMapping(MutableMapping[str, "_Value"]):
    """The records of one bucket on one backend, as a mapping that keeps nothing itself.

    Made by :meth:`TetherDB.DB.mapping`.
    """

    __slots__ = ("_records",)

    def __init__(self, records: Records) -> None:
        self._records = records

    def __repr__(self) -> str:
        bucket = f"bucket {self._records.bucket!r}" if self._records.bucket else "all records"
        return f"<TetherDB mapping: {bucket}, {self._records.backend}>"

    def __getitem__(self, key: str) -> _Value:
        value = self._read(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: _Value) -> None:
        self._records.write(key, value)

    def __delitem__(self, key: str) -> None:
        if not self._delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._read(key) is not None

    def __iter__(self) -> Iterator[str]:
        for keys in self._pages():
            yield from keys

    def __len__(self) -> int:
        return sum(len(keys) for keys in self._pages())

    def __bool__(self) -> bool:
        return any(self._pages(_FEW))

    def items(self) -> ItemsView[str, _Value]:
        """A view of the (key, value) pairs, which are read a page at a time."""
        return _Items(self)

    def values(self) -> ValuesView[_Value]:
        """A view of the values, which are read a page at a time."""
        return _Values(self)

    @overload
    def get(self, key: str, default: None = None, /) -> _Value | None: ...
    @overload
    def get(self, key: str, default: _Value | _Default, /) -> _Value | _Default: ...
    def get(self, key: str, default: Any = None, /) -> Any:
        """The value of a key, or the default."""
        value = self._read(key)
        return default if value is None else value

    @overload
    def pop(self, key: str, /) -> _Value: ...
    @overload
    def pop(self, key: str, /, default: _Value | _Default) -> _Value | _Default: ...
    def pop(self, key: str, /, default: Any = _REQUIRED) -> Any:
        """Delete a key and return its value. Of several that pop a key at once, one gets it."""
        value = self._read(key)
        if value is not None and self._delete(key):
            return value
        if default is _REQUIRED:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[str, _Value]:
        """Delete a record, the first one in key order, and return it as (key, value)."""
        for key, value in self._records.items(_FEW):
            # Else somebody else was faster.
            if self._delete(key):
                return key, value
        raise KeyError("popitem(): the mapping is empty")

    def setdefault(self, key: str, default: Any = None, /) -> _Value:
        """The value of a key; if there is none, the default, which is written."""
        value = self._read(key)
        if value is not None:
            return value
        self._records.write(key, default)
        return cast("_Value", default)

    def update(self, other: _HasKeys | Iterable[tuple[str, _Value]] = (), /, **more: _Value) -> None:
        """Write many records with one call of ``write_messages``."""
        source: Any = other
        if isinstance(source, Mapping):
            pairs: Iterable[tuple[str, _Value]] = cast("Mapping[str, _Value]", source).items()
        elif hasattr(source, "keys"):
            pairs = ((key, source[key]) for key in source.keys())  # noqa: SIM118 (it need not be iterable)
        else:
            pairs = source
        self._records.write_many(chain(pairs, more.items()))

    def clear(self) -> None:
        """Delete every record, a page at a time."""
        for keys in self._pages():
            self._records.delete(keys)

    def _read(self, key: object) -> _Value | None:
        # As in a dict, what cannot be a key is no key.
        return self._records.read(key) if isinstance(key, str) and key else None

    def _delete(self, key: object) -> bool:
        return isinstance(key, str) and key != "" and self._records.delete([key]) > 0

    def _pages(self, size: int = _PAGE) -> Iterator[list[str]]:
        marker = None
        while True:
            keys, marker = self._records.keys(size, marker)
            yield keys
            if marker is None:
                return


class _Items(ItemsView[str, "_Value"]):
    """Reads key and value together: the inherited one would ask for each value by itself."""

    __slots__ = ()
    _mapping: MessageMapping

    def __iter__(self) -> Iterator[tuple[str, _Value]]:
        return self._mapping._records.items(_PAGE)  # pyright: ignore[reportPrivateUsage]


class _Values(ValuesView["_Value"]):
    """The same for values."""

    __slots__ = ()
    _mapping: MessageMapping

    def __iter__(self) -> Iterator[_Value]:
        return (value for _, value in self._mapping.items())

    def __contains__(self, value: object) -> bool:
        return any(value == stored for stored in self)
