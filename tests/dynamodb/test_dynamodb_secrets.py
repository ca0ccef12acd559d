"""No secret is ever shown: not in an error, a log, a repr, nor in what a process writes."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import AnswerLate, CutAnswer, Drop, Fail
from fault_proxy import RecordingHttpProxy
from process.scripts import Program
from TetherDB import TetherDBError

from .loopback import Asked, HttpServer, Tls
from .support import NAME, VERBS, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dynamodb_stub import DynamoDBStub
    from dynamodb_stub.faults import Fault
    from servers.certificates import Authority
    from TetherDB import DB

SECRET = "canary-secret-access-key/0123456789+abcd"
TOKEN = "canary-session-token/" + "0123456789abcdef" * 20
PASSWORD = "canary-proxy-password"
AUTHORIZATION = "canary-container-authorization"
CANARIES = (SECRET, TOKEN, PASSWORD, AUTHORIZATION, base64.b64encode(f"user:{PASSWORD}".encode()).decode())
# Enough of one to be of use to whoever reads it.
PARTS = (*CANARIES, "canary-secret", "canary-session", "canary-proxy", "canary-container")

QUOTING = f"The Canonical String for this request should have been\n'x-amz-security-token:{TOKEN}\n'"

FAULTS: dict[str, Fault | None] = {
    "none": None,
    "signature": Fail("InvalidSignatureException", QUOTING),
    "expired": Fail("ExpiredTokenException"),
    "unknown": Fail("UnrecognizedClientException"),
    "denied": Fail("AccessDeniedException"),
    "throttled": Fail("ThrottlingException"),
    "unavailable": Fail("ServiceUnavailable"),
    "refused": Fail("ValidationException", "One or more parameter values were invalid"),
    "dropped": Drop(),
    "cut": CutAnswer(),
    "late": AnswerLate(5),
}


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch, aws_home: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("RUST_LOG", "trace")


def shows_no_canary(text: str) -> None:
    assert [part for part in PARTS if part in text] == []


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_error_log_or_repr_shows_a_secret(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    fault: Fault | None,
) -> None:
    if fault is not None:
        stub.inject(fault, times=None)
    texts: list[str] = []
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "TetherDB"):
        queue = {"retry": {"initial": 0.01, "max": 0.02, "give_up_after": 0.3}}
        db = connect(stub.endpoint, timeout=0.2, debug=True, queue_batch=queue)
        for verb in VERBS.values():
            try:
                verb(db)
            except TetherDBError as error:
                texts.append(shown(error))
        db.write_queue_message("queued", "value", backend=NAME)
        try:
            db.flush(timeout=10)
        except TetherDBError as error:
            texts.append(shown(error))
        texts += [repr(db), str(db.stats()), str(db.failed_messages())]
        try:
            db.stop(timeout=1)
        except TetherDBError as error:
            texts.append(shown(error))
    assert (len(texts) > 3) is (fault is not None)
    assert caplog.text
    shows_no_canary("\n".join([*texts, caplog.text, *capfd.readouterr()]))


# All ways to be refused, in a process that logs whatever there is to log.
PROGRAM = """
    import traceback
    from TetherDB import DB, TetherDBError
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
    for at, url in enumerate(sys.argv[1:]):
        section = {"table_name": "messages", "endpoint_url": url, "timeout": 2}
        config = {"local": {"filepath": "x"}, "dynamodb": section, "debug": True}
        retry = {"initial": 0.01, "max": 0.02, "give_up_after": 0.5}
        config["queue_batch"] = {"timeout": 0.01, "retry": retry}
        try:
            db = DB(config, on_error=lambda *message: print(message))
            print(repr(db), flush=True)
            db.write_queue_message("queued", "value", backend="dynamodb")
            print(db.write_message("key", "value", backend="dynamodb"))
            db.flush(timeout=20)
        except TetherDBError as error:
            traceback.print_exc()
            print(repr(error), vars(error), error.__cause__, error.__context__)
        try:
            db.stop(timeout=5)
        except TetherDBError as error:
            print(error, error.args, db.stats(), db.failed_messages())
        print("done", at, flush=True)
"""


def output_of(folder: Path, *urls: str) -> str:
    """All that the program writes when it is run against these endpoints."""
    with Program(folder, PROGRAM, *urls) as program:
        out, err = program.finish()[1:]
    assert out.count("done") == len(urls), err
    return out + err


def test_no_process_writes_a_secret(
    stub: DynamoDBStub, authority: Authority, silent_port: int, tmp_path: Path
) -> None:
    with Tls(authority.server(), stub.port) as tls:
        said = output_of(
            tmp_path,
            stub.endpoint,
            "http://127.0.0.1:1",
            f"http://127.0.0.1:{silent_port}",
            f"http://127.0.0.1:{tls.port}",
            f"https://127.0.0.1:{tls.port}",
            f"https://127.0.0.1:{stub.port}",
        )
    assert "True" in said
    assert "certificate" in said
    shows_no_canary(said)


@pytest.mark.parametrize("broken", [False, True], ids=["proxy", "no-proxy-there"])
def test_no_process_writes_the_password_of_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    with RecordingHttpProxy() as proxy:
        address = "127.0.0.1:1" if broken else proxy.address
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@{address}")
        said = output_of(tmp_path, "https://dynamodb.example.invalid")
        assert bool(proxy.requests) is not broken
    assert "Unavailable" in said
    shows_no_canary(said)


def test_no_process_writes_the_password_of_a_proxy_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: DynamoDBStub
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{PASSWORD}@:not a port/ \\")
    shows_no_canary(output_of(tmp_path, stub.endpoint))


@pytest.mark.usefixtures("no_credentials")
def test_no_process_writes_what_a_container_is_authorized_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: DynamoDBStub
) -> None:
    broken = f'{{"AccessKeyId": "AKID", "SecretAccessKey": "{SECRET}", "Token": "{TOKEN}"'
    for status, answer in ((200, broken), (200, "{}"), (500, broken)):

        def respond(_: Asked, status: int = status, answer: str = answer) -> tuple[int, str]:
            return status, answer

        with HttpServer(respond) as server:
            monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.url)
            monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION)
            said = output_of(tmp_path, stub.endpoint)
        assert "AuthenticationFailed" in said or "OperationTimeout" in said
        shows_no_canary(said)


def test_an_endpoint_with_a_password_is_not_shown(
    stub: DynamoDBStub, connect: Callable[..., DB], caplog: pytest.LogCaptureFixture
) -> None:
    stub.inject(Fail("ServiceUnavailable"), times=None)
    texts: list[str] = []
    try:
        db = connect(stub.endpoint.replace("//", f"//user:{PASSWORD}@"), debug=True)
        texts.append(repr(db))
        db.write_message("k", "v", backend=NAME)
    except TetherDBError as error:
        texts.append(shown(error))
    shows_no_canary("\n".join([*texts, caplog.text]))


@pytest.mark.parametrize("url", ["http://", "https://", "http://[::1", "http://a b", "http://:80"])
def test_a_broken_endpoint_is_told_without_what_was_to_be_sent_there(
    connect: Callable[..., DB], url: str
) -> None:
    with pytest.raises(TetherDBError) as caught:
        connect(url).write_message("k", "canary-value", backend=NAME)
    shows_no_canary(shown(caught.value))
    assert "canary-value" not in str(caught.value)
    assert "x-amz-target" not in str(caught.value)
    assert "endpoint_url" in str(caught.value)
