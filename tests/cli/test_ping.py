"""`tetherdb ping`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Ran


def test_a_backend_that_answers(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("ping")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("local: ")
    assert json.loads(tetherdb("ping", "--json").out)["backend"] == "local"


def test_a_backend_that_is_not_configured(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("ping", "--backend", "etcd")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "tetherdb: backend 'etcd' is not configured. Add a section \"etcd\" to the configuration.\n"
    )
