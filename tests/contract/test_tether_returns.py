"""`@db.tether`: what a function returns that cannot be stored: one ERROR line, `False`, nothing written."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from TetherDB import DB

if TYPE_CHECKING:
    from collections.abc import Callable

    from .backends import Backend


def tethered(db: DB, function: Callable[[], Any], **arguments: Any) -> Any:
    """Tethers what the types of `tether` do not allow."""
    return cast("Any", db).tether(**arguments)(function)


def error_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines logged; all must be ours, at ERROR."""
    assert {(record.name, record.levelno) for record in caplog.records} <= {("TetherDB", logging.ERROR)}
    return [record.getMessage() for record in caplog.records]


WRONG_VALUES: list[tuple[Any, str]] = [
    (["a"], "list"),
    (("a",), "tuple"),
    ({1}, "set"),
    (1, "int"),
    (1.5, "float"),
    (True, "bool"),
    (None, "NoneType"),
    (b"x", "bytes"),
]


@pytest.mark.parametrize(("value", "name"), WRONG_VALUES, ids=[name for _, name in WRONG_VALUES])
@pytest.mark.parametrize("arguments", [{}, {"wait": False}], ids=["wait", "queue"])
def test_a_value_of_a_wrong_type_logs_one_error_line_to_the_letter(
    value: Any,
    name: str,
    arguments: dict[str, Any],
    db: DB,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @db.tether(backend=backend.name, **arguments)
    def invalid_data() -> dict[str, Any]:
        return {"key": "k", "value": value}

    assert invalid_data() is False
    assert error_lines(caplog) == [
        f"Invalid 'value' type returned by 'invalid_data'. Expected str or dict, got {name}."
    ]
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_value_of_a_wrong_type_of_an_async_function_logs_the_same_line(
    db: DB, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    @db.tether(backend=backend.name)
    async def invalid_data() -> dict[str, Any]:
        return {"key": "k", "value": ["a"]}

    assert asyncio.run(invalid_data()) is False
    assert error_lines(caplog) == [
        "Invalid 'value' type returned by 'invalid_data'. Expected str or dict, got list."
    ]


NO_ENVELOPES: list[tuple[Any, str]] = [
    ({}, "value"),
    ({"key": "k"}, "value"),
    ({"name": "x"}, "value"),
    (None, "NoneType"),
    ("text", "str"),
    (["a"], "list"),
    (("k", "v"), "tuple"),
    (True, "bool"),
    ({"key": 1, "value": "v"}, "int"),
    ({"key": b"k", "value": "v"}, "bytes"),
    ({"key": ["k"], "value": "v"}, "list"),
    ({"key": "", "value": "v"}, "empty"),
]


@pytest.mark.parametrize(("returned", "fault"), NO_ENVELOPES, ids=[repr(case) for case, _ in NO_ENVELOPES])
@pytest.mark.parametrize("arguments", [{}, {"wait": False}], ids=["wait", "queue"])
def test_no_dict_no_value_or_a_wrong_key_logs_one_error_line_that_names_function_and_fault(
    returned: Any,
    fault: str,
    arguments: dict[str, Any],
    db: DB,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def invalid_data() -> Any:
        return returned

    store = tethered(db, invalid_data, backend=backend.name, **arguments)

    assert store() is False
    (line,) = error_lines(caplog)
    assert "'invalid_data'" in line
    assert fault in line
    db.flush()
    assert db.list_keys(backend=backend.name)["keys"] == []


@pytest.mark.parametrize("returned", [None, "text", ["a"], 1], ids=repr)
def test_with_a_key_of_the_decorator_too_no_dict_logs_one_error_line(
    returned: Any, db: DB, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    def invalid_data() -> Any:
        return returned

    store = tethered(db, invalid_data, backend=backend.name, key="user:123")

    assert store() is False
    (line,) = error_lines(caplog)
    assert "'invalid_data'" in line
    assert type(returned).__name__ in line
    assert db.list_keys(backend=backend.name)["keys"] == []


def test_a_generator_is_no_dict(db: DB, backend: Backend, caplog: pytest.LogCaptureFixture) -> None:
    # One that yields itself is refused where it is decorated.
    def several() -> Any:
        return (message for message in [{"key": "k", "value": "v"}])

    store = tethered(db, several, backend=backend.name)

    assert store() is False
    (line,) = error_lines(caplog)
    assert "'several'" in line
    assert "generator" in line


def test_the_line_is_logged_once_for_each_call(db: DB, caplog: pytest.LogCaptureFixture) -> None:
    def invalid_data() -> Any:
        return {"value": 1}

    store = tethered(db, invalid_data)

    assert [store() for _ in range(3)] == [False] * 3
    line = "Invalid 'value' type returned by 'invalid_data'. Expected str or dict, got int."
    assert error_lines(caplog) == [line] * 3


def test_a_good_return_after_a_wrong_one_is_stored(db: DB, backend: Backend) -> None:
    returned: list[Any] = [None, {"key": "k", "value": "v"}]

    def create() -> Any:
        return returned.pop(0)

    store = tethered(db, create, backend=backend.name)

    assert store() is False
    assert store() is True
    assert db.read_message("k", backend=backend.name) == "v"


def test_a_percent_sign_in_the_name_of_a_function_does_no_harm(
    db: DB, caplog: pytest.LogCaptureFixture
) -> None:
    def invalid_data() -> Any:
        return {"value": 1}

    invalid_data.__name__ = "100%s"
    assert tethered(db, invalid_data)() is False
    assert error_lines(caplog) == ["Invalid 'value' type returned by '100%s'. Expected str or dict, got int."]


def test_an_extra_name_beside_key_and_value_does_no_harm_without_a_key_of_the_decorator(
    db: DB, backend: Backend
) -> None:
    @db.tether(backend=backend.name)
    def create() -> dict[str, Any]:
        return {"key": "k", "value": "v", "more": 1}

    assert create() is True
    assert dict(db.iter_messages(backend=backend.name)) == {"k": "v"}
