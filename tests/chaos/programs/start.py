"""How a program of this folder is started: by the interpreter of the tests, with the suite on its path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from process.scripts import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parents[2]


def program(name: str, folder: Path, task: Mapping[str, Any]) -> Program:
    """Starts `main` of the module."""
    source = f"sys.path.insert(0, {str(TESTS)!r})\nfrom chaos.programs.{name} import main\nmain()\n"
    return Program(folder, source, json.dumps(task))
