"""No command prints a secret of the configuration, whatever goes wrong and however much is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Ran

SECRET = "hush-hush-4711"
COMMANDS = [
    ["get", "a"],
    ["put", "a", "1"],
    ["list"],
    ["ping"],
    ["ping", "--all"],
    ["stats"],
    ["delete", "a"],
    ["config", "check"],
    ["config", "show"],
    ["journal", "show"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_passwords_are_hidden(
    tetherdb: Callable[..., Ran], configured: Callable[..., Path], command: list[str]
) -> None:
    server = {"port": 1, "timeout": 0.3, "username": "u"}
    right = {"etcd": {**server, "password": SECRET}}
    by_name = {"etcd": {**server, "password": "${SHOP_PASSWORD}"}}
    wrong_elsewhere = {"etcd": {**server, "password": SECRET, "ports": 1}}
    misplaced = {"etcd": {**server, "pasword": SECRET}, "password": SECRET}
    in_a_url = {"etcd": {"endpoints": [f"http://u:{SECRET}@localhost:1"]}}
    for sections in (right, by_name, wrong_elsewhere, misplaced, in_a_url):
        config = configured(**sections)
        for more in ([], ["--verbose"], ["--json"]):
            backend = [] if command[0] == "config" else ["--backend", "etcd"]
            ended = tetherdb(*command, *backend, "--config", config, *more, SHOP_PASSWORD=SECRET)
            assert SECRET not in ended.out + ended.err, (sections, more)
            assert ended.out + ended.err
