"""`tetherdb completion`, and what the scripts it prints ask for."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Ran

SHELLS = ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell_name", SHELLS)
def test_the_script_and_the_line_to_add(tetherdb: Callable[..., Ran], shell_name: str) -> None:
    ended = tetherdb("completion", shell_name)
    assert (ended.code, ended.err) == (0, "")
    first, rest = ended.out.split("\n", 1)
    assert first.startswith("# Put into ~/.")
    assert f"tetherdb completion {shell_name}" in first
    assert f"_TETHERDB_COMPLETE={shell_name}_complete" in rest


@pytest.mark.parametrize("shell_name", [name for name in SHELLS if shutil.which(name)])
def test_a_shell_takes_the_script(tetherdb: Callable[..., Ran], tmp_path: Path, shell_name: str) -> None:
    script = tmp_path / "script"
    script.write_text(tetherdb("completion", shell_name).out)
    checked = subprocess.run([shell_name, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes(shell: Callable[..., Ran]) -> None:
    # What bash does when the tabulator is pressed behind these words.
    def completed(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in words)
        ended = shell(
            'eval "$(tetherdb completion bash)"\n'
            f"COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
            f"_tetherdb_completion tetherdb '{words[-1]}' '{words[-2]}'\n"
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        assert (ended.code, ended.err) == (0, "")
        return ended.out.split()

    assert completed("tetherdb", "p") == ["put", "ping"]
    assert completed("tetherdb", "journal", "") == ["drop", "retry", "show"]
    assert completed("tetherdb", "get", "--buck") == ["--bucket"]
    assert completed("tetherdb", "list", "--backend", "e") == ["etcd"]


def test_the_other_shells_ask_in_the_same_way(tetherdb: Callable[..., Ran]) -> None:
    for shell_name, more in {"zsh": {"COMP_CWORD": "1"}, "fish": {"COMP_CWORD": "jour"}}.items():
        ended = tetherdb(_TETHERDB_COMPLETE=f"{shell_name}_complete", COMP_WORDS="tetherdb jour", **more)
        assert ended.code == 0
        assert "journal" in ended.out
        assert "ping" not in ended.out


def test_another_shell(tetherdb: Callable[..., Ran]) -> None:
    ended = tetherdb("completion", "csh")
    assert (ended.code, ended.out) == (2, "")
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in ended.err
