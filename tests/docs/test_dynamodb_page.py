"""What docs/dynamodb.md says in tables and examples is so.

On a real server; on the strict stub where one is needed that counts, refuses and fails as it is told.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_stub import (
    AnswerLate,
    Drop,
    DynamoDBStub,
    Fail,
    Unprocessed,
    internal_error,
    throttled,
    unavailable,
)
from fault_proxy.http_proxy import RecordingHttpProxy
from servers.dynamodb import REGION
from TetherDB import DB, BackendError, TetherDBError

from .doc_pages import DYNAMODB, blocks, code, environment, read, section, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.certificates import Authority
    from servers.dynamodb import DynamoDb

PAGE = read("docs/dynamodb.md")
ON_DYNAMODB: dict[str, Any] = {"backend": "dynamodb"}
TABLE = "messages"


@pytest.fixture
def stub(aws: None) -> Iterator[DynamoDBStub]:
    with DynamoDBStub(create_delay=0.3) as opened:
        opened.create_table(TABLE)
        yield opened


def open_db(endpoint: str, queue: dict[str, Any] | None = None, **keys: Any) -> DB:
    given = {"table_name": TABLE, "region": REGION, "endpoint_url": endpoint, "timeout": 1, **keys}
    wanted = {key: value for key, value in given.items() if value is not None}
    return DB({"dynamodb": wanted, "queue_batch": {"timeout": 0.01, **(queue or {})}, "logging": "none"})


def failure(work: Callable[[], object]) -> TetherDBError:
    with pytest.raises(TetherDBError) as caught:
        work()
    return caught.value


# What a verb costs, and what it may do.


def queue(db: DB, count: int) -> None:
    for number in range(count):
        db.write_queue_message(f"{number:03}", "v", **ON_DYNAMODB)
    db.flush()


COSTS: dict[str, list[tuple[Callable[[DB], object], dict[str, int], int]]] = {
    "write_message": [(lambda db: db.write_message("a", "1", **ON_DYNAMODB), {"PutItem": 1}, 1)],
    "update_message": [
        (lambda db: db.update_message("000", "1", **ON_DYNAMODB), {"PutItem": 1}, 1),
        (lambda db: db.update_message("nobody", "1", **ON_DYNAMODB), {"PutItem": 1}, 1),
    ],
    "delete_message": [
        (lambda db: db.delete_message("000", **ON_DYNAMODB), {"DeleteItem": 1}, 1),
        (lambda db: db.delete_message("nobody", **ON_DYNAMODB), {"DeleteItem": 1}, 1),
    ],
    "read_message": [(lambda db: db.read_message("000", **ON_DYNAMODB), {"GetItem": 1}, 1)],
    "ping": [(lambda db: db.ping("dynamodb"), {"GetItem": 1}, 1)],
    "write_messages": [
        (
            lambda db: db.write_messages({f"{n:03}": "v" for n in range(300)}, **ON_DYNAMODB),
            {"BatchWriteItem": 12},
            8,
        ),
        (
            lambda db: db.write_messages({f"{n:03}": "v" for n in range(51)}, **ON_DYNAMODB),
            {"BatchWriteItem": 2, "PutItem": 1},
            3,
        ),
    ],
    "read_messages": [
        (
            lambda db: db.read_messages([f"{n:03}" for n in range(1000)], **ON_DYNAMODB),
            {"BatchGetItem": 10},
            8,
        ),
        (
            lambda db: db.read_messages([f"{n:03}" for n in range(101)], **ON_DYNAMODB),
            {"BatchGetItem": 1, "GetItem": 1},
            2,
        ),
    ],
    "delete_messages": [
        (lambda db: db.delete_messages([f"{n:03}" for n in range(20)], **ON_DYNAMODB), {"DeleteItem": 20}, 8)
    ],
    "lists": [
        (lambda db: db.list_keys(page_size=10, **ON_DYNAMODB), {"Scan": 1}, 1),
        (lambda db: db.list_messages(page_size=10, bucket="none", **ON_DYNAMODB), {"Scan": 1}, 1),
        (lambda db: list(db.iter_messages(page_size=1000, **ON_DYNAMODB)), {"Scan": 1}, 1),
    ],
    "the queue": [(lambda db: queue(db, 300), {"BatchWriteItem": 12}, 8)],
}


@pytest.mark.parametrize("verb", COSTS)
def test_a_verb_costs_what_the_page_says(verb: str, stub: DynamoDBStub) -> None:
    rows = table(section(PAGE, "What a verb costs"), "verb")
    [row] = [row for row in rows if verb in (*code(row[0]), row[0])]
    db = open_db(stub.endpoint, {"size": 100, "timeout": 10}, timeout=10)
    stub.seed(TABLE, *({"key": {"S": f"{n:03}"}, "value": {"S": "v"}} for n in range(300)))
    stub.service_time = 0.02
    for call, expected, most in COSTS[verb]:
        stub.clear_records()
        call(db)
        assert Counter(request.operation for request in stub.requests()) == expected
        assert stub.most_in_flight <= most
    assert set(code(row[1])) & COSTS[verb][0][1].keys() or "`write_messages`" in row[1], row
    for number in re.findall(r"up to (\d+) in flight", row[1]):
        assert int(number) == COSTS[verb][0][2]


def test_every_row_of_costs_is_counted() -> None:
    rows = table(section(PAGE, "What a verb costs"), "verb")
    assert {name for row in rows for name in code(row[0]) or [row[0]]} == COSTS.keys()


@pytest.mark.parametrize("consistent", [True, False])
def test_reads_and_lists_are_consistent_unless_told_otherwise(consistent: bool, stub: DynamoDBStub) -> None:
    db = open_db(stub.endpoint, consistent_read=None if consistent else False)
    db.read_message("a", **ON_DYNAMODB)
    db.read_messages(["a", "b"], **ON_DYNAMODB)
    db.list_keys(**ON_DYNAMODB)
    for request in stub.requests():
        asked = request.body.get("RequestItems", {}).get(TABLE, request.body)
        assert asked["ConsistentRead"] is consistent


def test_the_policy_allows_what_the_verbs_need_and_nothing_else(stub: DynamoDBStub) -> None:
    text = section(PAGE, "The least permissions")
    [policy] = blocks(text, "json")
    [statement] = json.loads(policy)["Statement"]
    actions = {action.removeprefix("dynamodb:") for action in statement["Action"]}
    db = open_db(stub.endpoint, {"size": 100, "timeout": 10})
    for calls in COSTS.values():
        for call, *_ in calls:
            call(db)
    assert {request.operation for request in stub.requests()} == actions
    more = set(re.findall(r"`dynamodb:(\w+)`", text))
    stub.clear_records()
    open_db(stub.endpoint, table_name="another", create_table=True, timeout=10).ping("dynamodb")
    assert {request.operation for request in stub.requests()} - actions == more


def test_the_policy_is_enough_when_all_else_is_denied(stub: DynamoDBStub) -> None:
    [policy] = blocks(section(PAGE, "The least permissions"), "json")
    stub.inject(
        Fail("AccessDeniedException"),
        times=None,
        when=lambda request: f'"dynamodb:{request.operation}"' not in policy,
    )
    db = open_db(stub.endpoint)
    assert db.write_messages({"a": "1", "b": "2"}, **ON_DYNAMODB) == 2
    assert db.update_message("a", "2", **ON_DYNAMODB)
    assert db.read_messages(["a", "b"], **ON_DYNAMODB) == {"a": "2", "b": "2"}
    assert sorted(db.list_keys(**ON_DYNAMODB)["keys"]) == ["a", "b"]
    assert db.delete_messages(["a", "b"], **ON_DYNAMODB) == 2


# The table.


def test_the_first_verb_creates_the_table_as_the_page_says(
    dynamodb: DynamoDb, documented_dynamodb: Any
) -> None:
    [command] = blocks(section(PAGE, "The table"), "sh")
    assert "AttributeName=key,AttributeType=S" in command
    assert "AttributeName=key,KeyType=HASH" in command
    db = open_db(dynamodb.url, region="eu-central-1", create_table=True, timeout=10)
    assert db.read_message("a", **ON_DYNAMODB) is None
    made = documented_dynamodb.describe_table(TableName=TABLE)["Table"]
    assert made["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
    assert made["AttributeDefinitions"] == [{"AttributeName": "key", "AttributeType": "S"}]
    assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_a_write_replaces_the_whole_item(dynamodb: DynamoDb, dynamodb_table: str) -> None:
    dynamodb.client.put_item(
        TableName=dynamodb_table,
        Item={"key": {"S": "a"}, "value": {"S": "1"}, "more": {"N": "1"}},
    )
    db = open_db(dynamodb.url, table_name=dynamodb_table)
    assert db.read_message("a", **ON_DYNAMODB) == "1"
    db.write_message("a", "2", **ON_DYNAMODB)
    found = dynamodb.client.get_item(TableName=dynamodb_table, Key={"key": {"S": "a"}})
    assert found.get("Item") == {"key": {"S": "a"}, "value": {"S": "2"}}


# Limits.


def test_the_limits_are_those_of_the_page(stub: DynamoDBStub) -> None:
    numbers = [int(row[1].split()[0].replace(",", "")) for row in table(section(PAGE, "Limits"), "what")]
    key, both = numbers
    db = open_db(stub.endpoint)
    assert db.write_message("k" * key, "v", **ON_DYNAMODB)
    assert db.write_message("a", "v" * (both - 1), **ON_DYNAMODB)
    for name, value in (("k" * (key + 1), "v"), ("a", "v" * both)):
        failed = failure(lambda name=name, value=value: db.write_message(name, value, **ON_DYNAMODB))  # type: ignore[misc]
        assert type(failed).__name__ == "LimitExceeded"


# Repetition.


def test_an_attempt_has_the_whole_timeout(stub: DynamoDBStub) -> None:
    assert "waits until the timeout" in section(PAGE, "Timeouts and repetition")
    stub.inject(AnswerLate(1), times=1, operation="PutItem")
    assert open_db(stub.endpoint, timeout=1.5).write_message("a", "1", **ON_DYNAMODB)
    stub.inject(AnswerLate(5), times=1, operation="PutItem")
    failed = failure(lambda: write(open_db(stub.endpoint, timeout=0.5)))
    assert type(failed).__name__ == "OperationTimeout"
    assert len(stub.requests("PutItem")) == 2


def test_a_delete_is_repeated_and_says_what_it_cannot_know(stub: DynamoDBStub) -> None:
    db = open_db(stub.endpoint)
    for fault in (throttled(), internal_error(), Drop()):
        db.write_message("a", "1", **ON_DYNAMODB)
        stub.inject(fault, operation="DeleteItem")
        stub.clear_records()
        assert db.delete_message("a", **ON_DYNAMODB)
        assert len(stub.requests("DeleteItem")) == 2
    db.write_message("a", "1", **ON_DYNAMODB)
    stub.inject(Drop(applied=True), operation="DeleteItem")
    stub.clear_records()
    assert str(failure(lambda: db.delete_message("a", **ON_DYNAMODB))).endswith(
        "It may have been done: read before you do it again. The key was 'a'."
    )
    assert len(stub.requests("DeleteItem")) == 2


def test_errors_of_many_keys_say_what_the_page_says(stub: DynamoDBStub) -> None:
    text = " ".join(section(PAGE, "All or nothing").split())
    stub.poison(TABLE, "x")
    db = open_db(stub.endpoint)
    records = dict.fromkeys("abcdx", "1")
    written = str(failure(lambda: db.write_messages(records, **ON_DYNAMODB)))
    [ending] = re.findall(r"The key was 'x'\. \d of 5 keys are known to be written\.$", written)
    assert re.sub(r"\d of", "3 of", ending) in text
    stub.inject(Fail("AccessDeniedException"), times=None, when=lambda request: "'x'" in str(request.body))
    deleted = str(failure(lambda: db.delete_messages(["a", "b", "x"], **ON_DYNAMODB)))
    assert re.search(r" Keys known to be deleted: \d\.$", deleted)
    assert "Keys known to be deleted: 2." in text


# The table of errors. By what the text has: what provokes it, given the test's request.


def write(db: DB) -> None:
    db.write_message("a", "1", **ON_DYNAMODB)


def on_stub(*faults: Any, **keys: Any) -> Callable[[pytest.FixtureRequest], None]:
    def provoke(request: pytest.FixtureRequest) -> None:
        stub: DynamoDBStub = request.getfixturevalue("stub")
        stub.inject(*faults, times=None)
        write(open_db(stub.endpoint, **keys))

    return provoke


def on_server(keys: dict[str, Any], work: Callable[[DB], object] = write) -> Callable[[Any], None]:
    def provoke(request: pytest.FixtureRequest) -> None:
        table_name: str = request.getfixturevalue("dynamodb_table")
        server: DynamoDb = request.getfixturevalue("dynamodb")
        work(open_db(server.url, None, **{"table_name": table_name, **keys}))

    return provoke


def no_tls(request: pytest.FixtureRequest) -> None:
    server: DynamoDb = request.getfixturevalue("dynamodb")
    request.getfixturevalue("aws")
    write(open_db(server.url.replace("http:", "https:")))


class Answer(BaseHTTPRequestHandler):
    """Never asked: nobody trusts the certificate."""


def unknown_authority(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("aws")
    authority: Authority = request.getfixturevalue("authority")
    pair = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.public, pair.private)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        # The handshake happens where a broken one is nobody's error.
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            write(open_db(f"https://localhost:{server.server_port}"))
        finally:
            server.shutdown()
            thread.join()


def refusing_proxy(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("aws")
    variables: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name in ("NO_PROXY", "no_proxy"):
        variables.delenv(name, raising=False)
    with RecordingHttpProxy() as proxy:
        variables.setenv("HTTPS_PROXY", proxy.url)
        try:
            write(open_db("https://dynamodb.test"))
        finally:
            assert set(proxy.requests) == {"CONNECT dynamodb.test:443"}


def without(*names: str, **keys: Any) -> Callable[[pytest.FixtureRequest], None]:
    def provoke(request: pytest.FixtureRequest) -> None:
        request.getfixturevalue("aws")
        variables: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
        for name in names:
            variables.delenv(name)
        write(open_db("http://localhost:1", **keys))

    return provoke


def broken_proxy(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("aws")
    request.getfixturevalue("monkeypatch").setenv("HTTPS_PROXY", "socks5://localhost:1")
    write(open_db("https://dynamodb.test"))


def silent_source(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("aws")
    variables: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    tmp_path: Path = request.getfixturevalue("tmp_path")
    (tmp_path / "config").write_text("[profile shop]\ncredential_process = false\n")
    variables.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    # The profile wins over the keys that are in the environment.
    db = open_db("http://localhost:1", profile="shop")
    failed = failure(lambda: write(db))
    assert isinstance(failed, BackendError)
    assert failed.retryable
    raise failed


def another_key(request: pytest.FixtureRequest) -> None:
    stub: DynamoDBStub = request.getfixturevalue("stub")
    stub.create_table("another", key="id")
    write(open_db(stub.endpoint, table_name="another"))


def being_created(request: pytest.FixtureRequest) -> None:
    stub: DynamoDBStub = request.getfixturevalue("stub")
    write(open_db(stub.endpoint, table_name="another", create_table=True, timeout=0.2))


def left_unprocessed(request: pytest.FixtureRequest) -> None:
    stub: DynamoDBStub = request.getfixturevalue("stub")
    stub.inject(Unprocessed.first(1), times=None)
    open_db(stub.endpoint, timeout=0.3).write_messages({"a": "1", "b": "2"}, **ON_DYNAMODB)


def lost_answer(request: pytest.FixtureRequest) -> None:
    stub: DynamoDBStub = request.getfixturevalue("stub")
    stub.inject(Drop(applied=True), operation="DeleteItem")
    open_db(stub.endpoint).delete_message("a", **ON_DYNAMODB)


def behind_a_queued_message(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("aws")
    db = open_db("http://localhost:1", timeout=0.3)
    db.write_queue_message("a", "1", **ON_DYNAMODB)
    try:
        write(db)
    finally:
        with contextlib.suppress(TetherDBError):
            db.stop(timeout=0)


def refused_item(request: pytest.FixtureRequest) -> None:
    stub: DynamoDBStub = request.getfixturevalue("stub")
    stub.poison(TABLE, "a")
    write(open_db(stub.endpoint))


def foreign(request: pytest.FixtureRequest) -> None:
    server: DynamoDb = request.getfixturevalue("dynamodb")
    name: str = request.getfixturevalue("dynamodb_table")
    server.client.put_item(TableName=name, Item={"key": {"S": "a"}, "value": {"N": "1"}})
    open_db(server.url, table_name=name).read_message("a", **ON_DYNAMODB)


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
ERRORS: dict[str, Callable[[pytest.FixtureRequest], None]] = {
    "cannot reach": without(),
    "received corrupt message": no_tls,
    "invalid peer certificate": unknown_authority,
    "CONNECT tunnel failed": refusing_proxy,
    "cannot do it now": on_stub(internal_error()),
    "is no address of an HTTP proxy": broken_proxy,
    "dynamodb.region: not set": without("AWS_REGION", "AWS_DEFAULT_REGION", region=None),
    "no credentials": without(*KEYS),
    "cannot be had now": silent_source,
    "does not know the credentials": on_stub(Fail("UnrecognizedClientException")),
    "does not accept the signature": on_stub(Fail("InvalidSignatureException")),
    "the credentials have run out": on_stub(Fail("ExpiredTokenException")),
    "access to table": on_stub(Fail("AccessDeniedException")),
    "there is no table": on_server({"table_name": "nowhere"}),
    "is being created": being_created,
    "has another key": another_key,
    "is throttled": on_stub(throttled(), timeout=0.3),
    "unprocessed until": left_unprocessed,
    "no answer from": on_stub(AnswerLate(5), timeout=0.3),
    "It may have been done": lost_answer,
    "waits behind an earlier write": behind_a_queued_message,
    "the limit is": on_server({}, lambda db: db.write_message("k" * 3000, "1", **ON_DYNAMODB)),
    "refused the item": refused_item,
    "refused the request": on_stub(Fail("ValidationException", "One or more parameter values were invalid")),
    "has no string attribute": foreign,
}


@pytest.mark.parametrize("text", ERRORS)
def test_each_documented_error_comes_as_documented(text: str, request: pytest.FixtureRequest) -> None:
    rows = table(section(PAGE, "Errors, and what to do"), "the text has")
    [row] = [row for row in rows if code(row[0]) == [text]]
    failed = failure(lambda: ERRORS[text](request))
    assert text in str(failed)
    assert type(failed).__name__ in code(row[1])
    if type(failed).__name__ not in ("LimitExceeded", "ConfigError"):
        assert isinstance(failed, BackendError)
        assert failed.backend == "dynamodb"


def test_every_row_of_errors_is_provoked() -> None:
    rows = table(section(PAGE, "Errors, and what to do"), "the text has")
    assert {text for row in rows for text in code(row[0])} == ERRORS.keys()


def test_a_service_that_is_away_for_a_moment_is_not_noticed(stub: DynamoDBStub) -> None:
    stub.inject(unavailable(), times=2)
    assert open_db(stub.endpoint).write_message("a", "1", **ON_DYNAMODB)


# In your tests.


def test_the_fixture_for_pytest_works(dynamodb: DynamoDb, documented_dynamodb: Any, tmp_path: Path) -> None:
    [example] = blocks(section(PAGE, "In your tests"), "python")
    example = example.replace(DYNAMODB, dynamodb.url)
    (tmp_path / "test_example.py").write_text(f"from TetherDB import DB\n\n{example}")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout
    assert "1 passed" in ran.stdout
    [name] = documented_dynamodb.list_tables()["TableNames"]
    assert name.startswith("test-")
