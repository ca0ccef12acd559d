"""`tetherdb ping`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Ran


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


def test_a_backend_that_does_not_answer(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path]
) -> None:
    # Nobody listens there.
    config = configured(etcd={"port": 1, "timeout": 1})
    ended = tetherdb("ping", "--backend", "etcd", "--config", config)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("tetherdb: etcd backend: cannot reach localhost:1: ")
    assert ended.err.count("\n") == 1


def test_every_backend(tetherdb: Callable[..., Ran], configured: Callable[..., Path]) -> None:
    config = configured(etcd={"port": 1, "timeout": 1})
    ended = tetherdb("ping", "--all", "--config", config)
    assert ended.code == 3
    assert ended.out.startswith("local: ")
    assert ended.err.startswith("tetherdb: etcd backend: cannot reach localhost:1: ")
    local, etcd = tetherdb("ping", "--all", "--json", "--config", config).records
    assert local["backend"] == "local"
    assert local["seconds"] > 0
    assert etcd["backend"] == "etcd"
    assert etcd["error"].startswith("etcd backend: cannot reach localhost:1: ")
    assert tetherdb("ping", "--all").code == 0
