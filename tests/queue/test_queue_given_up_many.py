"""When more is given up between two reports than is kept, the report says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("refuse_bad")

KEPT = 5


def give_up(db: DB, numbers: range) -> None:
    """Queues messages that are refused, one after the other, and reports none."""
    for number in numbers:
        receipt = db.write_queue_message(f"bad {number}", "v", receipt=True)
        with pytest.raises(Exception, match="refused by the trigger"):
            receipt.wait(30)


def reported(db: DB, verb: str) -> tuple[str, list[str]]:
    with pytest.raises(DeliveryError) as caught:
        getattr(db, verb)()
    return str(caught.value), [failed[0] for failed in caught.value.failed]


def keys(numbers: range) -> list[str]:
    return [f"bad {number}" for number in numbers]


@pytest.mark.parametrize("verb", ["flush", "stop"])
def test_the_report_counts_what_is_no_longer_kept(verb: str, open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": KEPT})
    give_up(db, range(12))
    text, failed = reported(db, verb)
    assert text.startswith("12 queued message(s) were given up")
    assert f"The last {KEPT} are in .failed" in text
    assert failed == keys(range(7, 12))
    assert [message[0] for message in db.failed_messages()] == failed
    assert db.stats()["local"]["failed"] == 12
    # They were reported, those that are gone too.
    db.flush()
    db.stop()


def test_what_was_reported_before_is_not_counted_again(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": KEPT})
    give_up(db, range(8))
    reported(db, "flush")
    # These push out others, which were reported.
    give_up(db, range(8, 11))
    text, failed = reported(db, "flush")
    assert text.startswith("3 queued message(s) were given up")
    assert "All are in .failed" in text
    assert failed == keys(range(8, 11))


def test_as_many_as_are_kept_are_all_in_the_report(open_db: Callable[..., DB]) -> None:
    db = open_db(queue_batch={"max_pending": KEPT})
    give_up(db, range(KEPT))
    text, failed = reported(db, "flush")
    assert text.startswith(f"{KEPT} queued message(s) were given up")
    assert "All are in .failed" in text
    assert failed == keys(range(KEPT))
