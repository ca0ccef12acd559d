"""Credentials that the service refuses: told as such, at once, and never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import DynamoDBStub, Fail
from TetherDB import AuthenticationFailed, DeliveryError

from .support import NAME, SOON, TABLE, GivenUp, every_verb, failure, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from TetherDB import DB

SECRET = "canarySecretAccessKey/of+40characters0000"
TOKEN = "canarySessionToken//////////" * 8

# What the service really says of a signature: the request as it was read, the session token included.
QUOTING = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String "
    f"for this request should have been\n'POST\n/\n\nhost:example.com\nx-amz-security-token:{TOKEN}\n\n'"
)

REFUSALS = {
    "unknown-access-key": Fail("UnrecognizedClientException"),
    "wrong-secret": Fail("InvalidSignatureException"),
    "signature-that-quotes-the-token": Fail("InvalidSignatureException", QUOTING),
    "incomplete-signature": Fail("IncompleteSignatureException", QUOTING),
    "no-token": Fail("MissingAuthenticationTokenException"),
    "expired": Fail("ExpiredTokenException"),
    "expired-that-quotes-the-token": Fail(
        "ExpiredTokenException", f"The security token {TOKEN} included in the request is expired"
    ),
    "unknown-that-quotes-the-token": Fail(
        "UnrecognizedClientException", f"The security token {TOKEN} included in the request is invalid."
    ),
    "denied": Fail("AccessDeniedException"),
}


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch, aws_home: object) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


def shows_no_secret(text: str) -> None:
    assert SECRET not in text
    assert "canarySessionToken" not in text


@every_verb
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_every_verb_tells_of_refused_credentials(
    stub: DynamoDBStub, connect: Callable[..., DB], refusal: Fail, verb: Callable[[DB], object]
) -> None:
    stub.inject(refusal, times=None)
    db = connect(stub.endpoint, timeout=30)
    error = failure(verb, db, AuthenticationFailed, timeout=0, slack=SOON)
    assert isinstance(error, PermissionError)
    shows_no_secret(shown(error))


@pytest.mark.parametrize(
    "wrong",
    [{"secret_key": "another"}, {"access_key": "ANOTHER"}, {"session_token": "another"}],
    ids=["secret", "access-key", "session-token"],
)
def test_what_the_service_finds_wrong_is_told(
    stub: DynamoDBStub, connect: Callable[..., DB], wrong: dict[str, str]
) -> None:
    stub.require(**wrong)
    db = connect(stub.endpoint, timeout=30)
    error = failure(lambda db: db.write_message("k", "v", backend=NAME), db, AuthenticationFailed, slack=SOON)
    assert "heck the " in str(error)
    assert stub.endpoint in str(error)
    assert error.retryable is False
    shows_no_secret(shown(error))
    # Right again, also for the same handle.
    stub.require(secret_key=SECRET, session_token=TOKEN)
    assert db.write_message("k", "v", backend=NAME)


def test_a_denied_action_names_table_and_user(stub: DynamoDBStub, db: DB) -> None:
    stub.inject(Fail("AccessDeniedException"), times=None)
    error = failure(lambda db: db.read_message("k", backend=NAME), db, AuthenticationFailed, names=TABLE)
    assert "user/tester is not authorized" in str(error)
    assert "IAM" in str(error)


def test_refused_credentials_are_not_tried_again_and_again(stub: DynamoDBStub, db: DB) -> None:
    for refusal, most in (
        ("InvalidSignatureException", 2),
        ("UnrecognizedClientException", 2),
        ("ExpiredTokenException", 2),
        ("AccessDeniedException", 1),
    ):
        rule = stub.inject(Fail(refusal), times=None)
        failure(lambda db: db.write_message("k", "v", backend=NAME), db, AuthenticationFailed)
        assert 1 <= rule.used <= most, refusal
        rule.cancel()


def test_the_queue_hands_back_what_credentials_keep_from_delivery(
    stub: DynamoDBStub, connect: Callable[..., DB], eventually: Callable[[Callable[[], object]], None]
) -> None:
    stub.inject(Fail("InvalidSignatureException", QUOTING), times=None)
    given_up = GivenUp()
    db = connect(
        stub.endpoint,
        queue_batch={"retry": {"initial": 0.01, "give_up_after": 0.5}},
        on_error=given_up.tell,
    )
    db.write_queue_message("k", "v", backend=NAME)
    with pytest.raises(DeliveryError) as caught:
        db.flush(timeout=30)
    [(key, value, backend, error)] = caught.value.failed
    assert (key, value, backend, type(error)) == ("k", "v", NAME, AuthenticationFailed)
    [kept] = db.failed_messages()
    eventually(lambda: given_up)
    texts = [shown(caught.value), shown(error), str(kept), str(db.stats()), repr(db)]
    texts += [shown(message[3]) for message in given_up]
    shows_no_secret("\n".join(texts))
    # Once they are right, it can be sent again.
    stub.clear_faults()
    assert db.retry_failed(NAME) == 1
    db.flush(timeout=30)
    assert stub.texts(TABLE) == {"k": "v"}
