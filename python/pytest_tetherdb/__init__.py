"""The pytest plugin of TetherDB: the fixture ``tetherdb``.

pytest imports this in every test run of an environment that has TetherDB installed. So it is a package of its
own, and imports TetherDB only when a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from TetherDB import DB, DeliveryError

_MOST_LISTED = 10
# Seconds that the end of a test may take to deliver what it left.
_EXIT_TIMEOUT = 5


@pytest.fixture
def tetherdb_config() -> Mapping[str, Any]:
    """What to add to the configuration of ``tetherdb``: a mapping, to be overridden."""
    return {}


@pytest.fixture
def tetherdb(tmp_path: Path, tetherdb_config: Mapping[str, Any]) -> Iterator[DB]:
    """A ``DB`` on the fresh file ``tmp_path / "tetherdb"``; messages that it cannot deliver fail the test."""
    from TetherDB import DB, DeliveryError, FlushTimeout, TetherDBError

    returned = cast("object", tetherdb_config)
    if not isinstance(returned, Mapping):
        kind = type(returned).__name__
        text = f"The fixture tetherdb_config must return a mapping, got {kind}. Return {{}} for the defaults."
        pytest.fail(text, pytrace=False)
    # Nobody needs what a test wrote after a power loss, and nobody wants to wait for its batches.
    config: dict[str, Any] = {
        "local": {"filepath": str(tmp_path / "tetherdb"), "synchronous": "off"},
        "queue_batch": {"timeout": 0.02, "exit_timeout": _EXIT_TIMEOUT},
    }
    queue = tetherdb_config.get("queue_batch")
    if isinstance(queue, Mapping) and "interval" in queue:
        # The other spelling of it.
        del config["queue_batch"]["timeout"]
    for key, given in tetherdb_config.items():
        known = config.get(key)
        both = isinstance(known, dict) and isinstance(given, Mapping)
        config[key] = {**cast("Any", known), **cast("Any", given)} if both else given
    try:
        db = DB(config)
    except (TetherDBError, TypeError, ValueError) as error:
        # One text, and not a traceback of this plugin.
        wrong = f"The fixture tetherdb_config is wrong: {type(error).__name__}: {error}"
        pytest.fail(wrong, pytrace=False)
    yield db
    # For the fixture, the end of the test is what the end of the program is for a handle.
    patience = config["queue_batch"].get("exit_timeout", _EXIT_TIMEOUT)
    if not isinstance(patience, (int, float)):
        # The name of an environment variable, which only the configuration reads.
        patience = _EXIT_TIMEOUT
    complaint = None
    try:
        db.stop(timeout=patience)
    except DeliveryError as error:
        complaint = _undelivered(error, patience)
    except FlushTimeout as error:
        complaint = f"The test left messages in the journal: {error}"
    if complaint is not None:
        pytest.fail(complaint, pytrace=False)


def _undelivered(error: DeliveryError, patience: float) -> str:
    """What to tell of the messages; not their values, which need not be in the log of a CI."""
    lines = [f"  {backend}: {key!r}: {type(why).__name__}: {why}" for key, _, backend, why in error.failed]
    if len(lines) > _MOST_LISTED:
        lines[_MOST_LISTED:] = [f"  ... and {len(lines) - _MOST_LISTED} more"]
    return "\n".join(
        [
            "The test queued messages that were not delivered:",
            *lines,
            f"They were given up, or still undelivered {patience} s after the test.",
            "If that is what it tests, catch the DeliveryError of flush() or stop(), or call drop_failed().",
        ]
    )
