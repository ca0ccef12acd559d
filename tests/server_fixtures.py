"""A plugin of the suite: servers as fixtures, started on first use, and their logs beside failed tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers import dynamodb as dynamodb_servers
from servers import etcd_programs
from servers.certificates import Authority
from servers.dynamodb import aws_variables
from servers.etcd import EtcdCluster, EtcdServer, Tls, jwt_tokens, simple_tokens
from servers.process import LOG_TAIL, Server, ServerFailed, running_servers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from servers.dynamodb import DynamoDb

# Short enough that a test can wait for the end of a token, and a few calls fit into its life.
TOKEN_SECONDS = 2

LOG_SIZES = pytest.StashKey[dict[Server, int]]()


def header_lines() -> list[str]:
    """Which servers the tests will start; nothing is started for it."""
    describe: dict[str, Callable[[], str]] = {
        "etcd": etcd_programs.describe,
        "dynamodb": lambda: dynamodb_servers.what_runs_here().describe(),
    }
    lines: list[str] = []
    for name, line in describe.items():
        try:
            lines.append(f"{name}: {line()}")
        except ServerFailed as missing:
            lines.append(f"{name}: none ({missing})")
    return lines


def pytest_report_header() -> list[str]:
    return header_lines()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[LOG_SIZES] = {server: server.log_size() for server in running_servers()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failed test what the servers have logged since it began."""
    report = yield
    if report.failed:
        for server in running_servers():
            said = server.log(since=item.stash[LOG_SIZES].get(server, 0))
            if said:
                report.sections.append((f"Log of {server.name} on port {server.port}", said[-LOG_TAIL:]))
    return report


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of the servers below."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd without users and TLS. The whole suite shares it: a test leaves it running."""
    with EtcdServer(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def clean_etcd(etcd: EtcdServer) -> EtcdServer:
    """The shared etcd, emptied."""
    etcd.etcdctl.clear()
    return etcd


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd for one test alone, which may pause, kill and restart it."""
    with EtcdServer(tmp_path / "own-etcd") as server:
        yield server


@pytest.fixture(scope="session")
def etcd_auth_simple(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd with users, whose tokens expire when unused for a while."""
    folder = tmp_path_factory.mktemp("etcd-auth-simple")
    with EtcdServer(folder, tokens=simple_tokens(TOKEN_SECONDS)) as server:
        yield server


@pytest.fixture(scope="session")
def etcd_auth_jwt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd with users, whose tokens expire after a while, used or not."""
    folder = tmp_path_factory.mktemp("etcd-auth-jwt")
    with EtcdServer(folder, tokens=jwt_tokens(folder, TOKEN_SECONDS)) as server:
        yield server


@pytest.fixture(scope="session")
def etcd_tls(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[EtcdServer]:
    """An etcd that shows a certificate."""
    with EtcdServer(tmp_path_factory.mktemp("etcd-tls"), tls=Tls(authority)) as server:
        yield server


@pytest.fixture(scope="session")
def etcd_mutual_tls(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[EtcdServer]:
    """An etcd that shows a certificate, and asks for one."""
    with EtcdServer(tmp_path_factory.mktemp("etcd-mutual-tls"), tls=Tls(authority, mutual=True)) as server:
        yield server


@pytest.fixture(scope="session")
def etcd_auth_tls(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[EtcdServer]:
    """An etcd that asks for a certificate and a password."""
    folder = tmp_path_factory.mktemp("etcd-auth-tls")
    tls = Tls(authority, mutual=True)
    with EtcdServer(folder, tls=tls, tokens=simple_tokens(TOKEN_SECONDS)) as server:
        yield server


@pytest.fixture
def etcd_cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    """Three members for one test alone, which may pause, kill and restart them."""
    with EtcdCluster(tmp_path / "etcd-cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDb]:
    """A DynamoDB. The whole suite shares it: a test leaves it running."""
    with dynamodb_servers.what_runs_here()(tmp_path_factory.mktemp("dynamodb")) as server:
        yield server


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds the credentials that the DynamoDB takes, and leads to no others."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name, raising=False)
    for name, value in aws_variables().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def dynamodb_table(dynamodb: DynamoDb, aws: None) -> Iterator[str]:
    """The name of a new, empty table."""
    name = dynamodb.create_table()
    yield name
    dynamodb.delete_table(name)
