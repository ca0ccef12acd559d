"""The README's first examples of each backend (direct write, queued write, tether, list), all in one test."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from typing import TYPE_CHECKING

from .doc_pages import blocks, read, run_page, section

if TYPE_CHECKING:
    from pathlib import Path

    from servers.dynamodb import DynamoDb
    from servers.etcd import EtcdServer

EXAMPLES = "The same on each backend"
HEADINGS = {"local": "The local file", "etcd": "etcd", "dynamodb": "DynamoDB"}
STORED = {
    "users:alice": '{"name": "Alice"}',
    "users:bob": '{"name": "Bob"}',
    "users:carol": '{"name": "Carol"}',
}


def test_the_seed_examples_run_verbatim_on_real_servers(
    etcd_auth_tls: EtcdServer, dynamodb: DynamoDb, dynamodb_table: str, tmp_path: Path
) -> None:
    """On a local file, an etcd that asks for a password and for a certificate, and a DynamoDB Local.

    Nothing in the examples is changed: where the backends are, and who asks, is in the file `config.json`
    that they open. Other programs look at what they stored.
    """
    etcd_auth_tls.etcdctl.clear("users:")
    files = tmp_path / "files"
    files.mkdir()
    file = tmp_path / "people"
    config = {
        "local": {"filepath": str(file)},
        "etcd": etcd_auth_tls.section(),
        "dynamodb": dynamodb.section(dynamodb_table),
    }
    assert {"username", "password", "ca_cert_file", "cert_file", "key_file"} <= config["etcd"].keys()
    (files / "config.json").write_text(json.dumps(config))
    backends = section(read("README.md"), EXAMPLES)
    page = tmp_path / "seed.md"
    page.write_text("\n\n".join(section(backends, heading) for heading in HEADINGS.values()))

    ran = run_page(page, tmp_path, ["--servers", "--files", files])

    assert ran.returncode == 0, ran.stdout
    assert ran.stderr == ""
    assert "seed.md: 3 blocks ran word for word\n" in ran.stdout
    assert ran.stdout.count("2 printed lines") == 3
    # The process that had it open has ended.
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT CAST(key AS TEXT), CAST(value AS TEXT) FROM Dict")
        assert dict(rows) == STORED
    found = etcd_auth_tls.etcdctl.everything("users:")
    assert {key: value.decode() for key, value in found.items()} == STORED
    assert dynamodb.everything(dynamodb_table) == STORED
    etcd_auth_tls.etcdctl.clear("users:")


def test_the_seed_examples_show_every_way_and_differ_in_one_word() -> None:
    backends = section(read("README.md"), EXAMPLES)
    programs: set[str] = set()
    for backend, heading in HEADINGS.items():
        [program] = blocks(section(backends, heading), "python")
        assert program.count(f'"{backend}"') == 5
        for way in ("write_message(", "write_queue_message(", "@db.tether(", "list_keys(", "list_messages("):
            assert way in program
        # The spaces before a comment keep it in its column.
        programs.add(re.sub(r" +#", " #", program.replace(f'"{backend}"', '"BACKEND"')))
    assert len(programs) == 1
