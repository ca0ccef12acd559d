"""What mypy and pyright, both strict, make of the stubs.

`make types` has them read right.py, in which each type is asserted. Here they read wrong.py, and must refuse
each line that is marked, and no other.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WRONG = Path(__file__).with_name("wrong.py")
MARKED = {
    number
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), 1)
    if line.endswith("  # refused")
}


def run(*command: str | Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=150
    )
    # 1: there were mistakes; anything else went wrong by itself.
    assert ran.returncode == 1, (ran.stdout, ran.stderr)
    return ran.stdout


def test_mypy_refuses_every_marked_line_and_no_other(tmp_path: Path) -> None:
    text = run("mypy", "--cache-dir", tmp_path, WRONG)
    assert {int(line) for line in re.findall(r"wrong\.py:(\d+): error:", text)} == MARKED, text


def test_pyright_refuses_every_marked_line_and_no_other(tmp_path: Path) -> None:
    # A folder of its own, since the project's settings leave the file out.
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(ROOT / "python")]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    shutil.copy(WRONG, tmp_path)
    told: dict[str, Any] = json.loads(
        run("pyright", "--project", tmp_path, "--pythonpath", sys.executable, "--outputjson")
    )
    assert told["summary"]["filesAnalyzed"] == 1
    refused = {mistake["range"]["start"]["line"] + 1 for mistake in told["generalDiagnostics"]}
    assert refused == MARKED, told["generalDiagnostics"]
