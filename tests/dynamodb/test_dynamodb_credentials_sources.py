"""Region and credentials come from where every AWS program looks for them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from dynamodb_stub import Fail
from TetherDB import AuthenticationFailed, BackendError, ConfigError, TetherDBError, Unavailable

from .loopback import HttpServer, Keys, container, instance
from .support import NAME, SOON, TABLE, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dynamodb_stub import DynamoDBStub
    from TetherDB import DB

KEYS = Keys("AKIDSOURCE", "secretOfTheSource", "tokenOfTheSource")
REGION = "eu-central-1"


def works(stub: DynamoDBStub, db: DB, *, token: str | None = KEYS.token, region: str = REGION) -> None:
    """A write with just these credentials, signed for just this region."""
    stub.require(access_key=KEYS.access_key, secret_key=KEYS.secret_key, session_token=token, region=region)
    assert db.write_message("k", "v", backend=NAME)
    assert stub.texts(TABLE) == {"k": "v"}


def write_profile(aws_home: Path, name: str = "work", region: str = REGION) -> None:
    (aws_home / "config").write_text(f"[profile {name}]\nregion = {region}\n")
    (aws_home / "credentials").write_text(
        f"[{name}]\naws_access_key_id = {KEYS.access_key}\naws_secret_access_key = {KEYS.secret_key}\n"
    )


def test_environment(stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", KEYS.token)
    monkeypatch.setenv("AWS_REGION", REGION)
    works(stub, connect(stub.endpoint))


def test_default_region_of_the_environment(
    stub: DynamoDBStub, db: DB, no_region: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    stub.require(region=REGION)
    assert db.write_message("k", "v", backend=NAME)


def test_the_region_of_the_configuration_comes_first(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    stub.require(region=REGION)
    assert connect(stub.endpoint, region=REGION).write_message("k", "v", backend=NAME)


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_profile_of_the_environment(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(aws_home)
    monkeypatch.setenv("AWS_PROFILE", "work")
    works(stub, connect(stub.endpoint), token=None)


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_profile_of_the_configuration(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_profile(aws_home)
    monkeypatch.setenv("AWS_PROFILE", "another")
    works(stub, connect(stub.endpoint, profile="work"), token=None)


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_profile_default(stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path) -> None:
    (aws_home / "config").write_text(
        f"[default]\nregion = {REGION}\naws_access_key_id = {KEYS.access_key}\n"
        f"aws_secret_access_key = {KEYS.secret_key}\naws_session_token = {KEYS.token}\n"
    )
    works(stub, connect(stub.endpoint))


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_files_at_their_usual_place(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_CONFIG_FILE")
    monkeypatch.delenv("AWS_SHARED_CREDENTIALS_FILE")
    write_profile(aws_home)
    works(stub, connect(stub.endpoint, profile="work"), token=None)


def test_a_profile_that_is_asked_for_comes_before_keys_of_the_environment(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path
) -> None:
    write_profile(aws_home)
    works(stub, connect(stub.endpoint, profile="work", region=REGION), token=None)


def write_process(aws_home: Path, output: str, *, fails: bool = False) -> None:
    """A `credential_process` that prints this."""
    (aws_home / "output").write_text(output)
    script = aws_home / "process.py"
    last = "sys.exit('it failed')" if fails else ""
    script.write_text(f"import sys\nprint(open({str(aws_home / 'output')!r}).read())\n{last}\n")
    (aws_home / "config").write_text(
        f"[default]\nregion = {REGION}\ncredential_process = {sys.executable} -I {script}\n"
    )


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_credential_process(stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path) -> None:
    write_process(aws_home, KEYS.process_output())
    works(stub, connect(stub.endpoint, timeout=20))


@pytest.mark.usefixtures("no_credentials", "no_region")
@pytest.mark.parametrize("broken", ["not JSON", "no keys", "failed"])
def test_a_broken_credential_process_is_told_without_what_it_printed(
    stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path, broken: str
) -> None:
    output = KEYS.process_output()
    if broken == "not JSON":
        output = output[:-1]
    elif broken == "no keys":
        output = output.replace("AccessKeyId", "SomethingElse")
    write_process(aws_home, output, fails=broken == "failed")
    with pytest.raises(AuthenticationFailed) as caught:
        connect(stub.endpoint, timeout=20).write_message("k", "v", backend=NAME)
    assert KEYS.secret_key not in str(caught.value)
    assert KEYS.token not in str(caught.value)
    assert "process" in str(caught.value)


@pytest.mark.usefixtures("no_credentials")
def test_credentials_of_a_container(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    with container(lambda: KEYS, "authorizationOfTheContainer") as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "authorizationOfTheContainer")
        monkeypatch.setenv("AWS_REGION", REGION)
        db = connect(stub.endpoint)
        works(stub, db)
        for number in range(10):
            db.read_message(f"k{number}", backend=NAME)
        # Once to see that there are some, and once for the requests.
        assert 1 <= len(server.asked) <= 2


@pytest.mark.usefixtures("no_credentials")
def test_a_container_that_refuses_is_told_without_its_authorization(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    with container(lambda: KEYS, "authorizationOfTheContainer") as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrongAuthorization")
        with pytest.raises(AuthenticationFailed) as caught:
            connect(stub.endpoint, timeout=20).write_message("k", "v", backend=NAME)
    assert "wrongAuthorization" not in str(caught.value)


@pytest.mark.usefixtures("no_credentials", "no_region")
def test_region_and_credentials_of_an_instance(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with instance(lambda: KEYS, REGION) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        works(stub, connect(stub.endpoint, timeout=10))


def test_endpoint_of_the_environment(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", stub.endpoint)
    db = connect(None)
    assert db.write_message("k", "v", backend=NAME)
    assert stub.texts(TABLE) == {"k": "v"}
    # An error says where it was.
    stub.inject(Fail("ServiceUnavailable"), times=None)
    with pytest.raises(Unavailable) as caught:
        db.write_message("k", "v", backend=NAME)
    assert stub.endpoint in str(caught.value)


def test_endpoint_of_the_configuration_comes_first(
    stub: DynamoDBStub, connect: Callable[..., DB], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert connect(stub.endpoint).write_message("k", "v", backend=NAME)


def test_endpoint_of_a_profile(stub: DynamoDBStub, connect: Callable[..., DB], aws_home: Path) -> None:
    (aws_home / "config").write_text(f"[default]\nendpoint_url = {stub.endpoint}\n")
    assert connect(None).write_message("k", "v", backend=NAME)


METADATA = ["disabled", "nobody", "silent", "without"]


def metadata(how: str, monkeypatch: pytest.MonkeyPatch, silent_port: int, without: HttpServer) -> None:
    """There is nothing to be had from an instance's metadata service."""
    if how == "disabled":
        return
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    urls = {
        "nobody": "http://127.0.0.1:1",
        "silent": f"http://127.0.0.1:{silent_port}",
        "without": without.url,
    }
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", urls[how])


@pytest.mark.usefixtures("no_region")
@pytest.mark.parametrize("how", METADATA)
def test_no_region_is_told_within_a_second(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    monkeypatch: pytest.MonkeyPatch,
    silent_port: int,
    how: str,
) -> None:
    with HttpServer(lambda _: (404, "not found")) as without:
        metadata(how, monkeypatch, silent_port, without)
        db = connect(stub.endpoint, timeout=30)
        with within(0, SOON), pytest.raises(ConfigError) as caught:
            db.write_message("k", "v", backend=NAME)
    for word in ("dynamodb.region", "AWS_REGION"):
        assert word in str(caught.value)
    # It is there for the next call.
    monkeypatch.setenv("AWS_REGION", REGION)
    assert db.write_message("k", "v", backend=NAME)


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("how", METADATA)
def test_no_credentials_are_told_within_a_second(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    monkeypatch: pytest.MonkeyPatch,
    silent_port: int,
    how: str,
) -> None:
    with HttpServer(lambda _: (404, "not found")) as without:
        metadata(how, monkeypatch, silent_port, without)
        db = connect(stub.endpoint, timeout=30)
        with within(0, SOON), pytest.raises(AuthenticationFailed) as caught:
            db.write_message("k", "v", backend=NAME)
    for word in ("credentials", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "dynamodb.profile"):
        assert word in str(caught.value)
    assert caught.value.backend == NAME
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert db.write_message("k", "v", backend=NAME)


@pytest.mark.parametrize("where", ["configuration", "environment"])
def test_an_unknown_profile_is_named(
    stub: DynamoDBStub,
    connect: Callable[..., DB],
    aws_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_credentials: None,
    where: str,
) -> None:
    write_profile(aws_home)
    section = {"profile": "wrok"} if where == "configuration" else {}
    if where == "environment":
        monkeypatch.setenv("AWS_PROFILE", "wrok")
    db = connect(stub.endpoint, timeout=30, **section)
    with within(0, SOON), pytest.raises(TetherDBError) as caught:
        db.write_message("k", "v", backend=NAME)
    assert isinstance(caught.value, (AuthenticationFailed, ConfigError))
    assert "wrok" in str(caught.value)
    assert KEYS.secret_key not in str(caught.value)
    assert stub.requests() == []


def test_only_one_key_of_two_is_told(stub: DynamoDBStub, db: DB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with within(0, SOON), pytest.raises(BackendError) as caught:
        db.write_message("k", "v", backend=NAME)
    assert isinstance(caught.value, AuthenticationFailed)
    assert os.environ["AWS_ACCESS_KEY_ID"] not in str(caught.value)
