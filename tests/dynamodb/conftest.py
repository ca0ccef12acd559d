"""An environment that leads nowhere else, the stub, and handles."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import DynamoDBStub
from fault_proxy import FaultProxy
from servers.dynamodb import ACCESS_KEY, REGION, SECRET_KEY
from TetherDB import DB, TetherDBError

from .support import NAME, TABLE, TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def aws_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentials and region are in the environment, and nothing else is anywhere but in this `.aws`."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    folder = tmp_path / "home" / ".aws"
    folder.mkdir(parents=True)
    variables = {
        "HOME": str(folder.parent),
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def no_credentials(aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds no credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


@pytest.fixture
def no_region(aws_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds no region."""
    monkeypatch.delenv("AWS_REGION")


@pytest.fixture
def stub() -> Iterator[DynamoDBStub]:
    """The strict stub, with an empty table."""
    with DynamoDBStub() as opened:
        opened.create_table(TABLE)
        yield opened


@pytest.fixture
def proxy(stub: DynamoDBStub) -> Iterator[FaultProxy]:
    """A way to the stub that can be broken."""
    with FaultProxy("127.0.0.1", stub.port) as opened:
        yield opened


@pytest.fixture
def connect(aws_home: Path, tmp_path: Path) -> Iterator[Callable[..., DB]]:
    """Opens handles on an endpoint, and stops them at the end of the test.

    Keywords are keys of the section `dynamodb`, but for `queue_batch`, `debug` and `on_error`.
    """
    opened: list[DB] = []

    def open_one(
        endpoint: str | None,
        *,
        queue_batch: dict[str, Any] | None = None,
        debug: bool = False,
        on_error: Callable[..., object] | None = None,
        **section: Any,
    ) -> DB:
        given = {} if endpoint is None else {"endpoint_url": endpoint}
        config: dict[str, Any] = {
            "local": {"filepath": str(tmp_path / "local")},
            NAME: {"table_name": TABLE, "timeout": TIMEOUT, **given, **section},
            "queue_batch": {"timeout": 0.02, **(queue_batch or {})},
        }
        if debug:
            config["debug"] = True
        db = DB(config, on_error=on_error)
        opened.append(db)
        return db

    yield open_one
    for db in opened:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=2)


@pytest.fixture
def db(stub: DynamoDBStub, connect: Callable[..., DB]) -> DB:
    """A handle on the stub."""
    return connect(stub.endpoint)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Connections are accepted there, and nothing is ever answered."""
    with FaultProxy("127.0.0.1", 1) as hole:
        hole.black_hole(swallow=True)
        yield hole.port
