"""Reads the pages of the documentation: sections, tables, blocks; and runs their blocks where servers are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from servers.dynamodb import aws_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
RUNNER = ROOT / "examples" / "code_blocks.py"

# Where docker-compose.yaml has the servers, as every page writes it.
ETCD = "localhost:2379"
DYNAMODB = "http://localhost:8000"


def read(name: str) -> str:
    """A page, by its path in the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(page: str, heading: str) -> str:
    """What stands under a heading, the headings below it included."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", page, re.MULTILINE)
    assert found, heading
    rest = page[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", _without_code(rest), re.MULTILINE)
    return rest[: end.start()] if end else rest


def _without_code(text: str) -> str:
    """The same text, as long as before, with nothing that looks like a heading in its blocks."""
    return re.sub(
        r"^```.*?^```$",
        lambda block: block[0].replace("#", "-"),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(text: str, first_heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, as cells."""
    found = re.search(rf"^\| {re.escape(first_heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, first_heading
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in found[1].splitlines()]


def code(cell: str) -> list[str]:
    """The words of a cell that are set as code."""
    return re.findall(r"`([^`]+)`", cell)


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program of the pages finds: credentials for DynamoDB Local, and no proxy on the way to it."""
    mine = ("AWS_", "ETCD_", "ETCDCTL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(mine)}
    return inherited | aws_variables() | dict(variables or {})


def run_page(
    page: Path,
    folder: Path,
    options: Sequence[str | Path] = (),
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a page's blocks in a process of its own: no page has the log handler of another."""
    command = [sys.executable, str(RUNNER), *map(str, options), str(page)]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=110,
    )
