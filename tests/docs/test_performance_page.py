"""docs/performance.md shows the figures of the reference run, all of them and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"

pytest.importorskip("rich", reason="the tables are made by benchmarks/, which needs rich")


def test_the_tables_are_those_of_the_figures() -> None:
    program = """import json, pages
print(pages.filled(pages.PAGE.read_text(), json.loads(pages.FIGURES.read_text())), end="")"""
    folder = ROOT / "benchmarks"
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert PAGE.read_text() == run.stdout, "make bench, then .venv-bench/bin/python benchmarks/pages.py"
    assert "met |" in run.stdout, "the targets are there"


def test_its_pictures_are_there() -> None:
    pictures = [
        RESULTS / "chart.svg",
        *(PAGE.with_suffix("") / f"flame-{name}.svg" for name in ("enqueue", "delivery", "read")),
    ]
    for picture in pictures:
        text = picture.read_text()
        assert "<svg" in text, picture
        assert "/root/" not in text, f"{picture} has paths of a machine"
        assert "/home/" not in text, f"{picture} has paths of a machine"
