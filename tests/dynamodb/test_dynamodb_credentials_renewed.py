"""Credentials that run out, or are replaced, are had anew by the same handle."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import Fail, Request
from TetherDB import AuthenticationFailed

from .loopback import Keys, container
from .support import NAME, TABLE, failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dynamodb_stub import DynamoDBStub, Rule
    from TetherDB import DB

pytestmark = pytest.mark.usefixtures("no_credentials")

OLD = Keys("AKIDOLD", "secretOld", "tokenOld")
NEW = Keys("AKIDNEW", "secretNew", "tokenNew")


def write_credentials(aws_home: Path, keys: Keys) -> None:
    (aws_home / "credentials").write_text(
        f"[default]\naws_access_key_id = {keys.access_key}\naws_secret_access_key = {keys.secret_key}\n"
        f"aws_session_token = {keys.token}\n"
    )


def token_of(request: Request) -> str | None:
    return request.headers.get("x-amz-security-token")


def tokens(stub: DynamoDBStub) -> list[str | None]:
    return [token_of(request) for request in stub.requests()]


def expire(stub: DynamoDBStub, token: str) -> Rule:
    """The service takes these no longer."""
    expired = Fail("ExpiredTokenException")
    return stub.inject(expired, times=None, when=lambda request: token_of(request) == token)


def write(db: DB) -> bool:
    return db.write_message("k", "v", backend=NAME)


def test_a_changed_file_is_read_once_its_credentials_have_expired(
    stub: DynamoDBStub, db: DB, aws_home: Path
) -> None:
    write_credentials(aws_home, OLD)
    assert write(db)
    expired = expire(stub, OLD.token)
    write_credentials(aws_home, NEW)
    assert write(db)
    assert tokens(stub) == [OLD.token, OLD.token, NEW.token]
    assert write(db)
    assert expired.used == 1


def test_a_file_that_changes_after_the_failure(stub: DynamoDBStub, db: DB, aws_home: Path) -> None:
    write_credentials(aws_home, OLD)
    assert write(db)
    expire(stub, OLD.token)
    error = failure(write, db, AuthenticationFailed)
    assert "run out" in str(error)
    write_credentials(aws_home, NEW)
    assert write(db)


@pytest.mark.parametrize("code", ["UnrecognizedClientException", "InvalidSignatureException"])
def test_keys_that_were_replaced(stub: DynamoDBStub, db: DB, aws_home: Path, code: str) -> None:
    """Whoever rotates keys deletes the old ones, which nobody knows then."""
    write_credentials(aws_home, OLD)
    assert write(db)
    stub.inject(Fail(code), times=None, when=lambda request: token_of(request) == OLD.token)
    failure(write, db, AuthenticationFailed)
    write_credentials(aws_home, NEW)
    assert write(db)


def test_the_queue_goes_on_with_new_credentials(stub: DynamoDBStub, db: DB, aws_home: Path) -> None:
    write_credentials(aws_home, OLD)
    assert write(db)
    expire(stub, OLD.token)
    write_credentials(aws_home, NEW)
    for number in range(50):
        db.write_queue_message(f"q{number}", "v", backend=NAME)
    db.flush(timeout=30)
    assert len(stub.items(TABLE)) == 51
    assert db.stats()[NAME]["failed"] == 0


def test_many_requests_at_once_find_their_credentials_expired(
    stub: DynamoDBStub, db: DB, aws_home: Path
) -> None:
    stub.service_time = 0.05
    write_credentials(aws_home, OLD)
    assert write(db)
    expire(stub, OLD.token)
    write_credentials(aws_home, NEW)
    assert db.write_messages({f"k{number}": "v" for number in range(300)}, backend=NAME) == 300


def write_process(aws_home: Path) -> Path:
    """A `credential_process` that prints what is in a file, and notes each time in another."""
    script = aws_home / "process.py"
    output, runs = aws_home / "output", aws_home / "runs"
    script.write_text(f"open({str(runs)!r}, 'a').write('run\\n')\nprint(open({str(output)!r}).read())\n")
    (aws_home / "config").write_text(f"[default]\ncredential_process = {sys.executable} -I {script}\n")
    return output


def test_a_credential_process_runs_again_once_its_credentials_expire(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path
) -> None:
    db = connect(stub.endpoint, timeout=20)
    output = write_process(aws_home)
    # They count as expired some seconds early.
    output.write_text(OLD._replace(seconds=12).process_output())
    assert write(db)
    output.write_text(NEW.process_output())
    deadline = time.monotonic() + 30
    while tokens(stub)[-1] != NEW.token:
        assert time.monotonic() < deadline
        assert write(db)
        time.sleep(0.1)
    assert tokens(stub)[0] == OLD.token


def test_a_credential_process_does_not_run_for_each_request(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path
) -> None:
    db = connect(stub.endpoint, timeout=20)
    write_process(aws_home).write_text(NEW.process_output())
    for _ in range(20):
        assert write(db)
    assert len((aws_home / "runs").read_text().splitlines()) <= 2


def test_a_container_is_asked_again_once_its_credentials_expire(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [OLD]
    with container(lambda: given[0]) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
        db = connect(stub.endpoint)
        assert write(db)
        given[0] = NEW
        # The service finds them expired before the handle does.
        expire(stub, OLD.token)
        assert write(db)
        assert tokens(stub) == [OLD.token, OLD.token, NEW.token]
