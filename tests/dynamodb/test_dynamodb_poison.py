"""One item that the service refuses never holds back its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from TetherDB import BackendError, DeliveryError, LimitExceeded

from .support import NAME, TABLE, GivenUp, adds_up, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from dynamodb_stub import DynamoDBStub
    from TetherDB import DB

KEYS = [f"k{number:02}" for number in range(25)]
TOO_LARGE = "Item size has exceeded the maximum allowed size"
REFUSED = "One or more parameter values were invalid: Something is wrong with this one"


@pytest.mark.parametrize(("message", "kind"), [(TOO_LARGE, LimitExceeded), (REFUSED, BackendError)])
@pytest.mark.parametrize("bad", [["k00"], ["k12"], ["k24"], ["k03", "k04", "k20"], KEYS])
def test_the_neighbours_in_a_batch_are_delivered(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    eventually: Callable[[Callable[[], object]], None],
    bad: list[str],
    message: str,
    kind: type[Exception],
) -> None:
    for key in bad:
        stub.poison(TABLE, key, message)
    given_up = GivenUp()
    db = connect(
        stub.endpoint,
        timeout=30,
        queue_batch={"size": 25, "timeout": 10},
        on_error=given_up.tell,
    )
    receipts = {key: db.write_queue_message(key, f"v {key}", backend=NAME, receipt=True) for key in KEYS}
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=30)
    # All 25 were in one batch at first.
    assert len(stub.requests()[0].keys) == 25
    good = [key for key in KEYS if key not in bad]
    assert stub.texts(TABLE) == {key: f"v {key}" for key in good}
    assert set(written(stub, dict.fromkeys(good))) <= {1}
    assert sorted(key for key, *_ in caught.value.failed) == bad
    for key, value, backend, error in caught.value.failed:
        assert (value, backend, type(error)) == (f"v {key}", NAME, kind)
        assert message in str(error)
        assert TABLE in str(error)
    eventually(lambda: len(given_up) == len(bad))
    assert sorted((key, str(error)) for key, _, _, error in given_up) == sorted(
        (key, str(error)) for key, _, _, error in caught.value.failed
    )
    assert sorted(key for key, *_ in db.failed_messages(NAME)) == bad
    stats = db.stats()[NAME]
    assert (stats["delivered"], stats["failed"], stats["pending"]) == (len(good), len(bad), 0)
    adds_up(db)
    for key, receipt in receipts.items():
        assert receipt.done()
        assert isinstance(receipt.exception(), kind) is (key in bad)
    # Found by halves: no more than it takes to look at each one alone.
    assert len(stub.requests()) < 2 * len(KEYS)
    assert stub.overlaps() == []
    # The rest of the queue goes on.
    db.write_queue_message("after", "v", backend=NAME)
    db.flush(timeout=30)
    assert "after" in stub.texts(TABLE)


@pytest.mark.parametrize(("message", "kind"), [(TOO_LARGE, LimitExceeded), (REFUSED, BackendError)])
def test_a_bulk_write_names_the_key(stub: DynamoDBStub, db: DB, message: str, kind: type[Exception]) -> None:
    stub.poison(TABLE, "k12", message)
    with pytest.raises(kind) as caught:
        db.write_messages(dict.fromkeys(KEYS, "v"), backend=NAME)
    assert "k12" in str(caught.value)
    assert message in str(caught.value)
    assert "24 of 25" in str(caught.value)
    assert len(stub.texts(TABLE)) == 24


def test_a_direct_write_of_a_bad_item(stub: DynamoDBStub, db: DB) -> None:
    stub.poison(TABLE, "bad")
    with pytest.raises(LimitExceeded, match="Split the value"):
        db.write_message("bad", "v", backend=NAME)
    assert len(stub.requests()) == 1
    assert db.write_message("good", "v", backend=NAME)
