"""A secret of the wrong type, or in the wrong place, is not shown either."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from TetherDB import DB, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

# A password may well be a number, once it has gone through JSON or YAML.
NUMBERS = [20261234, -20261234, 2026.1234, 20261234.0, 10**30 + 20261234]
KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
LINES = ["-----BEGIN PRIVATE KEY-----", KEY, "-----END PRIVATE KEY-----"]


def refused(config: dict[str, Any]) -> str:
    """What the error shows, by whatever way it is shown."""
    with pytest.raises(ConfigError) as caught:
        DB(config)
    error = caught.value
    return f"{error!s} {error!r} {error.args!r} {''.join(traceback.format_exception(error))}"


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", ["password", "username", "passwrod", "ca_cert_file"])
def test_a_number_where_a_text_belongs_is_not_shown(name: str, number: float) -> None:
    shown = refused({"etcd": {"username": "u", "password": "p", name: number}})
    assert f"etcd.{name}: " in shown
    assert "2026" not in shown


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_a_number_in_a_file_is_not_shown(tmp_path: Path, number: float) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"etcd": {"username": "u", "password": number}}))
    with pytest.raises(ConfigError, match=r"etcd\.password: expected a string, got") as caught:
        DB(file)
    assert "2026" not in str(caught.value)


def test_a_number_out_of_range_is_shown() -> None:
    assert "got 70001." in refused({"etcd": {"port": 70001}})


@pytest.mark.parametrize("name", ["key_file", "cert_file", "ca_cert_file"])
@pytest.mark.parametrize(
    "text",
    [
        "\n".join(LINES) + "\n",
        "\r\n".join(LINES),
        "\n  " + "\n  ".join(LINES),
        # As it comes out of an environment variable, where line ends are often lost.
        " ".join(LINES),
        "".join(LINES),
        f"{KEY}\n{KEY}\n",
    ],
    ids=["lines", "crlf", "indented", "blanks", "joined", "bare"],
)
def test_the_text_of_a_key_given_for_its_path_is_not_shown(name: str, text: str, tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.write_text("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n")
    shown = refused({"etcd": {"cert_file": str(there), "key_file": str(there), name: text}})
    assert f"etcd.{name}: expected the path of a file" in shown
    assert KEY not in shown
    assert "BEGIN" not in shown
    # Paths are no secret.
    assert "nowhere.pem" in refused({"etcd": {"ca_cert_file": "nowhere.pem"}})
