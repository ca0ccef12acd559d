"""The version stands in Cargo.toml, and nowhere else where somebody would have to change it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import TetherDB

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]


def test_the_package_has_the_version_of_cargo_toml() -> None:
    assert TetherDB.__version__ == VERSION


def test_pyproject_takes_it_from_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dynamic"] == ["version"]
    assert "version" not in project


def test_nothing_else_has_it() -> None:
    # Cargo.lock is cargo's; the changelog tells of every version, and the figures are of a certain one.
    may = {"Cargo.toml", "Cargo.lock", "CHANGELOG.md", "THIRD_PARTY_LICENSES", "performance.md", ".git"}
    files = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in ("python", "src", "docs", "examples", "scripts", ".github"):
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = {".py", ".pyi", ".rs", ".md", ".toml", ".yml", ".yaml", ".json", ".txt", ".sh", ""}
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        if path.suffix in texts and path.name not in may
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"\b(tetherdb|version)\b.*(?<![\d.]){re.escape(VERSION)}(?![\d.])", line, re.IGNORECASE)
        # Where it shows what a tag looks like.
        and f"such as v{VERSION}" not in line
    ]
    assert found == []


def test_the_changelog_is_in_the_form_that_it_names() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    assert versions[1].startswith(f"[{VERSION}] - ")
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - (\d{4}-\d{2}-\d{2}|unreleased)", version), version
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
