"""The DynamoDB stub fails as it is told, and remembers all that happened."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import (
    AnswerLate,
    CutAnswer,
    Delay,
    Drop,
    DynamoDBStub,
    Fail,
    Hold,
    Unprocessed,
    internal_error,
    throttled,
    unavailable,
)
from dynamodb_stub.clients import batch_body, boto3_client, call, connection, gets_body, put_body, send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEYS = [f"k{number}" for number in range(10)]


@pytest.fixture
def stub() -> Iterator[DynamoDBStub]:
    with DynamoDBStub() as opened:
        opened.create_table("messages")
        yield opened
        closing = time.monotonic()
    assert time.monotonic() - closing < 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stub-")]


@pytest.fixture
def client(stub: DynamoDBStub) -> Iterator[Any]:
    pytest.importorskip("boto3")
    with boto3_client(stub) as opened:
        yield opened


def outcome(stub: DynamoDBStub, operation: str, body: dict[str, Any]) -> str:
    """The name of the error of a request, "" without one, or the name of the exception."""
    try:
        status, answer = call(stub, operation, body)
    except (http.client.HTTPException, OSError) as error:
        return type(error).__name__
    return "" if status == 200 else answer["__type"].rpartition("#")[2]


def put(stub: DynamoDBStub, key: str = "k", value: str = "value") -> str:
    return outcome(stub, "PutItem", put_body(key, value))


def test_rules_are_used_up_one_after_the_other(stub: DynamoDBStub) -> None:
    rule = stub.inject(throttled(), times=2)
    stub.inject(internal_error())
    assert [put(stub) for _ in range(4)] == [
        "ProvisionedThroughputExceededException",
        "ProvisionedThroughputExceededException",
        "InternalServerError",
        "",
    ]
    assert rule.used == 2
    assert [request.status for request in stub.requests()] == [400, 400, 500, 200]
    assert len(stub.history("messages", "k")) == 1


def test_rules_for_some_requests(stub: DynamoDBStub) -> None:
    gets = stub.inject(throttled("ThrottlingException"), times=None, operation="GetItem")
    bad = stub.inject(
        throttled("RequestLimitExceeded"),
        times=None,
        when=lambda request: ("messages", "bad") in request.keys,
    )
    wanted = {"TableName": "messages", "Key": {"key": {"S": "k"}}}
    assert outcome(stub, "GetItem", wanted) == "ThrottlingException"
    assert [put(stub, "good"), put(stub, "bad")] == ["", "RequestLimitExceeded"]
    gets.cancel()
    assert outcome(stub, "GetItem", wanted) == ""
    stub.clear_faults()
    assert put(stub, "bad") == ""
    assert (gets.used, bad.used) == (1, 1)


def test_rules_by_chance_repeat_themselves(stub: DynamoDBStub) -> None:
    outcomes: list[list[str]] = []
    for seed in (1, 1, 2):
        stub.inject(internal_error(), times=None, probability=0.5, seed=seed)
        outcomes.append([put(stub) for _ in range(40)])
        stub.clear_faults()
    assert outcomes[0] == outcomes[1] != outcomes[2]
    assert 10 < Counter(outcomes[0])["InternalServerError"] < 30


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
        ("AccessDeniedException", 400),
        ("ExpiredTokenException", 400),
        ("UnrecognizedClientException", 400),
        ("InvalidSignatureException", 400),
    ],
)
def test_errors(stub: DynamoDBStub, client: Any, code: str, status: int) -> None:
    stub.inject(Fail(code))
    with pytest.raises(client.exceptions.ClientError) as failed:
        client.put_item(**put_body("k"))
    assert failed.value.response["Error"]["Code"] == code
    assert failed.value.response["Error"]["Message"]
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_unavailable_before_the_service_was_reached(stub: DynamoDBStub) -> None:
    stub.inject(unavailable("empty"))
    assert call(stub, "PutItem", put_body("k")) == (503, None)
    stub.inject(unavailable("html"))
    with connection(stub) as opened:
        send(opened, "PutItem", put_body("k"))
        answer = opened.getresponse()
        assert answer.status == 503
        assert answer.read().startswith(b"<html>")
    assert stub.items("messages") == {}


@pytest.mark.parametrize(
    ("fault", "left"),
    [
        (Unprocessed.first(3), KEYS[:3]),
        (Unprocessed.alternating(), KEYS[::2]),
        (Unprocessed.first(100), KEYS),
    ],
)
def test_partly_unprocessed(stub: DynamoDBStub, client: Any, fault: Unprocessed, left: list[str]) -> None:
    # It waits for a batch: what comes before is no business of it.
    stub.inject(fault, times=2)
    client.put_item(**put_body("other"))
    remaining = client.batch_write_item(**batch_body(*KEYS))["UnprocessedItems"]
    assert remaining.get("messages", []) == batch_body(*left)["RequestItems"]["messages"]
    assert stub.items("messages").keys() == {"other", *KEYS} - set(left)
    assert client.batch_write_item(RequestItems=remaining)["UnprocessedItems"] is not None
    stub.clear_faults()
    client.batch_write_item(**batch_body(*KEYS))
    stub.inject(fault)
    answer = client.batch_get_item(**gets_body(*KEYS, ConsistentRead=True))
    asked = answer["UnprocessedKeys"]["messages"]
    assert sorted(key["key"]["S"] for key in asked["Keys"]) == sorted(left)
    assert asked["ConsistentRead"] is True
    found = [item["key"]["S"] for item in answer["Responses"]["messages"]]
    assert sorted(found + left) == sorted(KEYS)


def test_randomly_unprocessed_until_all_is_done(stub: DynamoDBStub, client: Any) -> None:
    stub.inject(Unprocessed.randomly(0.6, seed=3), times=None)
    remaining = batch_body(*KEYS)["RequestItems"]
    rounds = 0
    while remaining:
        remaining = client.batch_write_item(RequestItems=remaining)["UnprocessedItems"]
        rounds += 1
    assert sorted(stub.items("messages")) == KEYS
    assert rounds > 1
    assert [len(stub.history("messages", key)) for key in KEYS] == [1] * len(KEYS)


def test_slow_answers(stub: DynamoDBStub) -> None:
    for fault in (Delay(0.2), AnswerLate(0.2)):
        stub.inject(fault)
        start = time.monotonic()
        assert put(stub) == ""
        assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("applied", [False, True])
def test_an_answer_after_the_client_gave_up(
    stub: DynamoDBStub, eventually: Callable[..., None], *, applied: bool
) -> None:
    hold = Hold(applied=applied)
    stub.inject(hold)
    with connection(stub, timeout=0.1) as opened:
        send(opened, "PutItem", put_body("k", "given up"))
        with pytest.raises(TimeoutError):
            opened.getresponse()
    assert bool(stub.items("messages")) == applied
    assert put(stub, "k", "newer") == ""
    hold.release()
    eventually(lambda: stub.in_flight == 0)
    # A write that was given up may yet come, over a newer one.
    assert stub.texts("messages") == {"k": "newer" if applied else "given up"}


@pytest.mark.parametrize("applied", [False, True])
def test_held_requests(stub: DynamoDBStub, *, applied: bool) -> None:
    hold = Hold(applied=applied)
    stub.inject(hold)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(put, stub)
        hold.wait()
        assert bool(stub.items("messages")) == applied
        assert stub.in_flight == 1
        assert put(stub, "other") == ""
        hold.release()
        assert first.result() == ""
    assert stub.most_in_flight == 2


def test_lost_connections(stub: DynamoDBStub) -> None:
    stub.inject(Drop())
    assert put(stub, "lost") == "RemoteDisconnected"
    stub.inject(Drop(reset=True))
    assert put(stub, "reset") == "ConnectionResetError"
    assert stub.items("messages") == {}
    stub.inject(Drop(applied=True))
    assert put(stub, "applied") == "RemoteDisconnected"
    stub.inject(CutAnswer())
    assert outcome(stub, "Scan", {"TableName": "messages"}) == "IncompleteRead"
    stub.inject(CutAnswer(after=10, reset=True))
    assert put(stub, "cut") in ("ConnectionResetError", "BadStatusLine")
    assert list(stub.items("messages")) == ["applied", "cut"]
    assert {request.status for request in stub.requests()} == {None}
    assert put(stub) == ""


def test_dropped_idle_connections(stub: DynamoDBStub, eventually: Callable[..., None]) -> None:
    with connection(stub) as opened:
        send(opened, "PutItem", put_body("k"))
        opened.getresponse().read()
        stub.drop_connections()
        eventually(lambda: stub.connections_open == 0)
        # Python's own client opens another one if it knows; a pool of connections does not look.
        assert opened.sock is not None
        assert opened.sock.recv(1) == b""


def test_poison(stub: DynamoDBStub) -> None:
    stub.poison("messages", "bad", "it is bad")
    for operation, body in (("PutItem", put_body("bad")), ("BatchWriteItem", batch_body("a", "bad"))):
        status, answer = call(stub, operation, body)
        assert (status, answer["message"]) == (400, "it is bad")
        assert answer["__type"] == "com.amazon.coral.validate#ValidationException"
    assert stub.items("messages") == {}
    assert outcome(stub, "BatchWriteItem", batch_body("a", "b")) == ""


def test_service_time_shows_concurrency(stub: DynamoDBStub) -> None:
    stub.service_time = 0.2
    start = time.monotonic()
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(put, [stub] * len(KEYS), KEYS)) == {""}
    # One after the other they would take two seconds.
    assert 0.2 <= time.monotonic() - start < 1.5
    assert stub.most_in_flight == 10
    assert stub.overlaps() == []


def test_keys_that_meet_themselves(stub: DynamoDBStub) -> None:
    hold = Hold()
    stub.inject(hold)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(outcome, stub, "BatchWriteItem", batch_body("a", "b"))
        hold.wait()
        assert outcome(stub, "BatchGetItem", gets_body("a", "c")) == ""
        assert stub.overlaps() == []
        assert put(stub, "b", "second") == ""
        hold.release()
    (met,) = stub.overlaps()
    assert (met.table, met.key) == ("messages", "b")
    assert (met.first.operation, met.second.operation) == ("BatchWriteItem", "PutItem")
    assert {met.key for met in stub.overlaps(writes_only=False)} == {"a", "b"}
    # The held batch came second, and won.
    history = stub.history("messages", "b")
    assert [write.item and write.item["value"]["S"] for write in history] == ["second", "value"]
    assert [write.request for write in history] == [met.second.number, met.first.number]


def test_one_key_one_request_after_the_other_never_meets_itself(stub: DynamoDBStub) -> None:
    with connection(stub) as opened:
        for number in range(300):
            send(opened, "PutItem", put_body("k", str(number)))
            opened.getresponse().read()
    assert stub.overlaps() == []
    values = [write.item and write.item["value"]["S"] for write in stub.history("messages", "k")]
    assert values == [str(number) for number in range(300)]


def test_closing_with_stuck_connections() -> None:
    with contextlib.ExitStack() as clients, DynamoDBStub() as stub:
        stub.create_table("messages")
        stub.inject(Delay(60))
        stub.inject(AnswerLate(60))
        stub.inject(Hold())
        for _ in range(3):
            send(clients.enter_context(connection(stub)), "PutItem", put_body("k"))
        # One that never ends its request, and hundreds that say nothing.
        clients.enter_context(connection(stub)).putrequest("POST", "/")
        for _ in range(300):
            clients.enter_context(connection(stub)).connect()
        while stub.connections_open < 303 or stub.in_flight < 3:
            time.sleep(0.005)
        start = time.monotonic()
        stub.close()
        assert time.monotonic() - start < 1
