"""THIRD_PARTY_LICENSES: the licenses of all that the module links, as they are handed on with it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "licenses.py"
RULE = "=" * 100


def listed() -> dict[str, str]:
    """The crates of the list, as "serde 1.0.0", with what stands behind them."""
    head = (ROOT / "THIRD_PARTY_LICENSES").read_text(encoding="utf-8").partition(RULE)[0]
    rows = [row.partition(": ") for row in head.split("from Cargo.lock.\n")[1].splitlines() if row]
    return {title: rest for title, _, rest in rows}


def test_each_crate_is_one_of_cargo_lock() -> None:
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    locked = {f"{package['name']} {package['version']}" for package in lock["package"]}
    assert set(listed()) <= locked
    assert {"rusqlite", "pyo3", "etcd-client", "ring", "tokio"} <= {title.split()[0] for title in listed()}


def test_each_crate_has_a_text() -> None:
    parts = (ROOT / "THIRD_PARTY_LICENSES").read_text(encoding="utf-8").split(RULE)
    named = {title for names in parts[1::2] for title in names.replace(",\n", ", ").strip().split(", ")}
    named = {title.strip() for group in named for title in group.split("\n")}
    assert set(listed()) == named
    assert all(len(text) > 300 for text in parts[2::2])


def test_it_fits_cargo_lock() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_check_tells_of_a_file_that_does_not_fit(tmp_path: Path) -> None:
    copy = tmp_path / "scripts" / "licenses.py"
    copy.parent.mkdir()
    copy.write_text(
        SCRIPT.read_text(encoding="utf-8")
        .replace('TARGET = ROOT / "THIRD_PARTY_LICENSES"', f"TARGET = Path({str(tmp_path / 'old')!r})")
        # The list is still that of this project.
        .replace("Path(__file__).resolve().parents[1]", f"Path({str(ROOT)!r})"),
        encoding="utf-8",
    )
    (tmp_path / "old").write_text("of last year\n", encoding="utf-8")
    done = subprocess.run([sys.executable, str(copy), "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "licenses: old does not fit Cargo.lock. Run: make licenses\n"


@pytest.mark.parametrize("name", ["LICENSE", "THIRD_PARTY_LICENSES"])
def test_wheels_bring_it(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert name in project["license-files"]
    assert (ROOT / name).is_file()
