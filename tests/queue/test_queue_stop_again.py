"""`stop` that gives up, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, DeliveryError, FlushTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


def test_texts_do_not_grow_with_every_stop_that_gives_up(
    open_db: Callable[..., DB],
    locked: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    db = open_db(local={"busy_timeout": 0}, queue_batch={"retry": {"initial": 0.01, "max": 0.02}})
    db.write_message("before", "v")
    texts: list[str] = []
    with locked():
        for _ in range(12):
            receipt = db.write_queue_message("k", "v", receipt=True)
            with pytest.raises(DeliveryError) as caught:
                db.stop(timeout=0.05)
            ((*_, exception),) = caught.value.failed
            assert type(exception) is FlushTimeout
            last_error = db.stats()["local"]["last_error"] or ""
            for text in (str(exception), str(receipt.exception()), db.failed_messages()[-1][3], last_error):
                # The reason, once.
                assert text.count("deadline") <= 1, text
                assert text.count("last error") <= 1, text
            texts.append(str(exception))
            # What an error of the file says is still there to see.
            assert "deadline" not in last_error
    assert len(texts[-1]) <= len(texts[1]) + 10
    assert all(record.getMessage().count("last error") <= 1 for record in caplog.records)
