"""A strict DynamoDB that answers as it is told: unprocessed, throttled, errors, late, cut off, dropped.

It notes every write that it does, so in strict rounds the order of all of them is looked at, not only what is
left at the end. The others have a short `dynamodb.timeout`: what is sent again near its end may be given up,
and done late.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import (
    AnswerLate,
    CutAnswer,
    Delay,
    Drop,
    DynamoDBStub,
    Unprocessed,
    internal_error,
    throttled,
    unavailable,
)
from servers.dynamodb import REGION

from .configs import is_tiny
from .load import Load, closing, remove_journal
from .rounds import count, in_shards, limit, rounds
from .test_dynamodb import dynamodb_config
from .values import number_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from dynamodb_stub.faults import Fault as Answer

    from .rounds import Round

PATIENT = 20.0
HASTY = 0.5


@pytest.fixture
def stub(aws: None) -> Iterator[DynamoDBStub]:
    """A stub of this shard's own."""
    with DynamoDBStub() as opened:
        yield opened


@limit("dynamodb")
@in_shards
def test_no_answer_of_dynamodb_loses_anything(stub: DynamoDBStub, tmp_path: Path, shard: int) -> None:
    names: Counter[str] = Counter()
    for played in rounds("dynamodb", shard, 2, 1):
        for name in play(played, stub, tmp_path):
            names[name] += 1
    print(f"answers: {dict(names)} of {count('dynamodb')}")


def answers(chance: random.Random, is_strict: bool) -> dict[str, Answer]:
    """All that a request may meet with."""
    most = 0.4 if is_strict else HASTY * 1.5
    return {
        "throttled": throttled(
            chance.choice(["ProvisionedThroughputExceededException", "ThrottlingException"])
        ),
        "error": internal_error(),
        "unavailable": unavailable(chance.choice(["json", "empty", "html"])),
        "unprocessed": Unprocessed.randomly(chance.choice([0.1, 0.5, 0.9]), chance.randrange(1000)),
        "all unprocessed but one": Unprocessed(lambda size: range(1, size)),
        "dropped before": Drop(reset=chance.random() < 0.5),
        "dropped after": Drop(applied=True, reset=chance.random() < 0.5),
        "cut": CutAnswer(chance.choice([None, 0, 20, 200]), reset=chance.random() < 0.5),
        "slow": Delay(chance.random() * most),
        "answered late": AnswerLate(chance.random() * most),
    }


def play(played: Round, stub: DynamoDBStub, folder: Path) -> list[str]:
    """One round; gives what went wrong."""
    chance = played.chance()
    is_strict = chance.random() < 0.6
    timeout = PATIENT if is_strict else HASTY
    table = f"table-{played.number}"
    stub.create_table(table)
    section = {"table_name": table, "region": REGION, "endpoint_url": stub.endpoint, "timeout": timeout}
    config = dynamodb_config(played, section, folder)
    names = list(answers(chance, is_strict))
    chosen = chance.sample(names, chance.randint(1, 4))
    print(f"{chosen}: {config['queue_batch']}")
    mended_at = 0.0

    def trouble() -> None:
        nonlocal mended_at
        made = answers(chance, is_strict)
        for name in chosen:
            # The first rule that applies is taken.
            stub.inject(
                made[name], times=None, probability=chance.choice([0.1, 0.3, 0.9]), seed=played.number
            )
        seconds = chance.choice([0.2, 0.6]) * chance.uniform(0.5, 1.3)
        if chance.random() < 0.3:
            load.stop_later(chance.random() * seconds, chance.choice([0.0, 0.05, 0.3]))
        time.sleep(seconds)
        stub.clear_faults()
        mended_at = time.monotonic()
        time.sleep(chance.random() * 0.2)

    load = Load(played, config, "dynamodb", timeout=timeout, reads_back=is_strict, rate=400)
    with closing(load):
        load.run(trouble)
        late = 0.0 if is_strict else mended_at
        load.finish(lambda: stored(stub, table), forgets=is_tiny(config["queue_batch"]), late=late)
        print(f"{load.model.taken()} messages taken, {len(load.handed.told)} given up, {load.stops} stops")
        # What is sent again is newer then.
        if is_strict and not load.sent_again:
            check_order(stub, table, load)
    stub.clear_records()
    remove_journal(played, folder)
    return chosen


def stored(stub: DynamoDBStub, table: str) -> dict[str, str]:
    """What is in it, once what was late has come."""
    deadline = time.monotonic() + 20
    while stub.in_flight:
        assert time.monotonic() < deadline, "a request never ends"
        time.sleep(0.01)
    return stub.texts(table)


def check_order(stub: DynamoDBStub, table: str, load: Load) -> None:
    """Of each key the versions came in order, the same one several times perhaps."""
    for key in load.model.history:
        history: list[Any] = [write.item for write in stub.history(table, key)]
        versions = [number_of(key, item["value"]["S"]) for item in history if item is not None]
        assert versions == sorted(versions), f"{key} was written out of order: {versions}"
