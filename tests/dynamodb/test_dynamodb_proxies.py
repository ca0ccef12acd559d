"""The proxy that the environment names: for what is far away, never for this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fault_proxy import RecordingHttpProxy
from TetherDB import Unavailable

from .loopback import HttpServer, Keys, Tls, container
from .support import NAME, TABLE, VERBS, failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dynamodb_stub import DynamoDBStub
    from servers.certificates import Authority
    from servers.dynamodb import DynamoDb
    from TetherDB import DB

VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
# Nobody has it, and nobody is asked for it: the proxy would be.
FAR = "https://dynamodb.example.invalid"


@pytest.fixture
def recorder() -> Iterator[RecordingHttpProxy]:
    with RecordingHttpProxy() as opened:
        yield opened


@pytest.fixture
def everywhere(recorder: RecordingHttpProxy, monkeypatch: pytest.MonkeyPatch) -> RecordingHttpProxy:
    """A proxy that every variable names."""
    for name in VARIABLES:
        monkeypatch.setenv(name, recorder.url)
    return recorder


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_comes_between_this_machine_and_a_plain_endpoint(
    stub: DynamoDBStub, connect: Callable[..., DB], everywhere: RecordingHttpProxy, host: str
) -> None:
    db = connect(f"http://{host}:{stub.port}")
    for verb in VERBS.values():
        verb(db)
    assert len(stub.requests()) >= len(VERBS)
    assert (everywhere.accepted, everywhere.requests) == (0, [])


def test_no_proxy_comes_between_this_machine_and_dynamodb_local(
    dynamodb: DynamoDb, dynamodb_table: str, connect: Callable[..., DB], everywhere: RecordingHttpProxy
) -> None:
    db = connect(dynamodb.url, table_name=dynamodb_table, timeout=30)
    assert db.write_message("k", "v", backend=NAME)
    assert dynamodb.get(dynamodb_table, "k") == "v"
    assert everywhere.accepted == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_no_proxy_comes_between_this_machine_and_an_endpoint_with_tls(
    stub: DynamoDBStub,
    authority: Authority,
    connect: Callable[..., DB],
    everywhere: RecordingHttpProxy,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
) -> None:
    monkeypatch.setenv("NO_PROXY", "somewhere.else.test")
    with Tls(authority.server(), stub.port) as tls:
        # Nobody trusts the certificate, but it has come that far.
        failure(VERBS["ping"], connect(f"https://{host}:{tls.port}"), Unavailable)
        assert tls.accepted > 0
    assert everywhere.accepted == 0


@pytest.mark.usefixtures("no_credentials")
def test_no_proxy_comes_between_this_machine_and_its_credentials(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    everywhere: RecordingHttpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with container(lambda: Keys("AKID", "secret", "token")) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
        assert connect(stub.endpoint).write_message("k", "v", backend=NAME)
    assert everywhere.accepted == 0


@pytest.mark.usefixtures("no_region")
def test_no_proxy_comes_between_this_machine_and_the_metadata_service(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    everywhere: RecordingHttpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")

    with HttpServer(lambda asked: (200, "eu-west-1" if "region" in asked.path else "token")) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        assert connect(stub.endpoint).write_message("k", "v", backend=NAME)
        assert server.asked
    assert everywhere.accepted == 0


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_what_is_far_away_is_reached_through_the_proxy(
    connect: Callable[..., DB], recorder: RecordingHttpProxy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, recorder.url)
    error = failure(VERBS["write_message"], connect(FAR), Unavailable, names=FAR)
    assert set(recorder.requests) == {"CONNECT dynamodb.example.invalid:443"}
    assert "proxy" in str(error).lower() or "502" in str(error) or "tunnel" in str(error)


def test_aws_itself_is_reached_through_the_proxy(
    connect: Callable[..., DB], recorder: RecordingHttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", recorder.url)
    failure(VERBS["ping"], connect(None, region="eu-central-1"), Unavailable, names="eu-central-1")
    assert set(recorder.requests) == {"CONNECT dynamodb.eu-central-1.amazonaws.com:443"}


def test_https_proxy_comes_before_all_proxy(
    connect: Callable[..., DB], recorder: RecordingHttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RecordingHttpProxy() as other:
        monkeypatch.setenv("ALL_PROXY", other.url)
        monkeypatch.setenv("HTTPS_PROXY", recorder.url)
        failure(VERBS["ping"], connect(FAR), Unavailable)
        assert other.accepted == 0
    assert recorder.requests


# An address that leads to this machine, though it is none of those that are spared anyway.
AS_IF_FAR = "0.0.0.0"


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("spared", "through"),
    [
        ("", True),
        ("somewhere.test", True),
        (AS_IF_FAR, False),
        (f"somewhere.test, {AS_IF_FAR} ,other.test", False),
        ("0.0.0.0/8", False),
        ("*", False),
    ],
)
def test_no_proxy_spares_what_it_names(
    stub: DynamoDBStub,
    authority: Authority,
    connect: Callable[..., DB],
    recorder: RecordingHttpProxy,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    spared: str,
    through: bool,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", recorder.url)
    monkeypatch.setenv(variable, spared)
    with Tls(authority.server(), stub.port) as tls:
        failure(VERBS["ping"], connect(f"https://{AS_IF_FAR}:{tls.port}"), Unavailable)
        assert (tls.accepted > 0) is not through
        assert bool(recorder.requests) is through


def test_a_proxy_for_plain_http_is_not_asked_for_https(
    stub: DynamoDBStub,
    authority: Authority,
    connect: Callable[..., DB],
    recorder: RecordingHttpProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", recorder.url)
    monkeypatch.setenv("http_proxy", recorder.url)
    with Tls(authority.server(), stub.port) as tls:
        failure(VERBS["ping"], connect(f"https://{AS_IF_FAR}:{tls.port}"), Unavailable)
    assert recorder.accepted == 0


def test_a_proxy_that_is_down_is_told(connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    error = failure(VERBS["ping"], connect(FAR), Unavailable, names=FAR)
    assert "through the proxy http://127.0.0.1:1" in str(error)


def test_an_empty_variable_names_no_proxy(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert connect(stub.endpoint).write_message("k", "v", backend=NAME)
    assert stub.texts(TABLE) == {"k": "v"}
