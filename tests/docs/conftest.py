"""Servers as the pages describe them: at documented addresses, which the tests exchange for the real ones."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple, cast

import pytest
from botocore.session import Session

from servers.dynamodb import ACCESS_KEY, SECRET_KEY
from servers.etcd import EtcdCluster, Tls
from servers.etcd_programs import etcdctl_program

from .doc_pages import DYNAMODB, ETCD, blocks, read, section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from types_boto3_dynamodb import DynamoDBClient

    from servers.certificates import Authority
    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer

# Of all pages. DynamoDB Local keeps the tables of each region apart, so these are nobody else's.
REGION = "eu-central-1"
SHOP_PASSWORD = "the-shop-password"


@pytest.fixture
def documented_dynamodb(dynamodb: DynamoDb, aws: None) -> Iterator[DynamoDBClient]:
    """The DynamoDB with no table in the region that the pages name; another program's client to it."""
    created = Session().create_client(
        "dynamodb",
        endpoint_url=dynamodb.url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    client = cast("DynamoDBClient", created)

    def delete_tables() -> None:
        for name in client.list_tables()["TableNames"]:
            client.delete_table(TableName=name)

    delete_tables()
    yield client
    delete_tables()
    client.close()


@pytest.fixture
def at_servers(
    clean_etcd: EtcdServer, dynamodb: DynamoDb, documented_dynamodb: DynamoDBClient
) -> Iterator[list[str]]:
    """The runner's options that lead from the two documented addresses to real servers, which are empty."""
    there = {ETCD: f"localhost:{clean_etcd.port}", DYNAMODB: f"http://localhost:{dynamodb.port}"}
    yield ["--servers", *(f"--at={documented}={real}" for documented, real in there.items())]
    clean_etcd.etcdctl.clear()


class Production(NamedTuple):
    """The cluster of docs/etcd.md, set up by the page's own commands."""

    cluster: EtcdCluster
    options: list[str | Path]
    variables: dict[str, str]


@pytest.fixture
def production(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Production]:
    """Three members with TLS on both sides; the page's etcdctl commands make the users, to the letter."""
    folder = tmp_path_factory.mktemp("production")
    tls = folder / "files" / "tls"
    tls.mkdir(parents=True)
    # Its common name is no user's: the user of the configuration is to count.
    identity = authority.client("somebody")
    for name, source in {
        "ca.pem": authority.ca_file,
        "shop.pem": identity.public,
        "shop.key": identity.private,
    }.items():
        (tls / name).write_bytes(source.read_bytes())
    with EtcdCluster(folder / "cluster", tls=Tls(authority, mutual=True)) as cluster:
        [commands] = blocks(section(read("docs/etcd.md"), "Users and roles"), "sh")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ETCDCTL_")}
        variables = {
            "ETCDCTL_API": "3",
            "ETCDCTL_ENDPOINTS": ",".join(cluster.endpoints),
            "ETCDCTL_CACERT": str(authority.ca_file),
            "ETCDCTL_CERT": str(identity.public),
            "ETCDCTL_KEY": str(identity.private),
            "ROOT_PASSWORD": "the-root-password",
            "SHOP_PASSWORD": SHOP_PASSWORD,
            "PATH": f"{etcdctl_program().parent}{os.pathsep}{os.environ['PATH']}",
        }
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            env=inherited | variables,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        options: list[str | Path] = ["--files", folder / "files"]
        for number, member in enumerate(cluster.members, start=1):
            options.append(f"--at=etcd-{number}.example.com:2379=localhost:{member.port}")
        yield Production(cluster, options, {"SHOP_PASSWORD": SHOP_PASSWORD})
