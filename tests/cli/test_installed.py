"""The command without the packages of the extra `cli`, and by its two names."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import TetherDB

from .conftest import Ran, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NEEDED = (
    "tetherdb: the command line needs packages that are not installed ({} is missing). "
    'Install them: pip install "tetherdb[cli]"\n'
)
# None in `sys.modules` is what an import of a package that is not there meets.
WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from TetherDB.cli import main
main()
"""


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the command where packages are not installed."""

    def run(missing: str, *arguments: str, stdout: int = subprocess.PIPE) -> Ran:
        command = [sys.executable, "-c", WITHOUT, missing, *arguments]
        ended = subprocess.run(
            command,
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            timeout=60,
            check=False,
        )
        return Ran(ended.returncode, ended.stdout or "", ended.stderr)

    return run


@pytest.mark.parametrize("arguments", [[], ["--version"], ["get", "a"], ["nothing"]])
def test_without_click_it_says_what_to_install(without: Callable[..., Ran], arguments: list[str]) -> None:
    assert without("click,rich,textual", *arguments) == Ran(2, "", NEEDED.format("click"))


def test_an_interpreter_without_packages_at_all(tmp_path: Path) -> None:
    # -S: the folder of installed packages is not looked at; this one is found by PYTHONPATH.
    environment = clean_environment() | {"PYTHONPATH": str(Path(TetherDB.__file__).parents[1])}
    if "site-packages" in environment["PYTHONPATH"]:
        pytest.skip("the package is installed beside the others")
    command = [sys.executable, "-S", "-m", "TetherDB", "list"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", NEEDED.format("click"))


def test_without_rich_a_pipe_works_and_a_terminal_is_told(
    without: Callable[..., Ran], store: Callable[[Mapping[str, Any]], None], terminal: Callable[..., Ran]
) -> None:
    store({"a": {"n": 1}})
    assert without("rich,textual", "get", "a") == Ran(0, '{"n": 1}\n', "")
    ended = terminal("get", "a", program=[sys.executable, "-c", WITHOUT, "rich,textual"])
    assert ended == Ran(2, NEEDED.format("rich"), "")


def test_the_console_script() -> None:
    module, _, function = PROJECT["scripts"]["tetherdb"].partition(":")
    assert callable(getattr(import_module(module), function))
    program = Path(sysconfig.get_path("scripts")) / "tetherdb"
    if not program.exists():
        pytest.skip("the package is not installed, but built into its folder")
    ended = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, f"tetherdb {TetherDB.__version__}\n")


def test_the_extra_has_what_the_command_imports() -> None:
    needed = {requirement.partition(">")[0] for requirement in PROJECT["optional-dependencies"]["cli"]}
    assert needed == {"click", "rich", "textual"}
