"""Every Python block of the README and of each page in docs/ runs, word for word, and answers as it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def run_blocks(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Each page has a process of its own: a log handler that one page sets up is not there for another."""
    command = [sys.executable, str(ROOT / "examples" / "code_blocks.py"), str(page)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", timeout=110)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_true(page: Path, tmp_path: Path) -> None:
    ran = run_blocks(page, tmp_path)
    assert ran.returncode == 0, ran.stdout
    # Nothing after the last block either: the end of the program is silent.
    assert ran.stderr == ""
    blocks = page.read_text(encoding="utf-8").count("\n```python\n")
    assert f"{page.name}: {blocks} blocks ran" in ran.stdout
    # Every block ran in the page's own temporary folder.
    assert list(tmp_path.iterdir()) == []


def test_the_readme_has_its_blocks() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^```python$", text, re.MULTILINE)) > 10
    assert len(re.findall(r"^```(py|Python|python3|pycon)\b", text, re.MULTILINE)) == 0


PROGRAM = "```python\nprint('one')\n```\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (PROGRAM + "\n<!-- output -->\n```text\ntwo\n```\n", "not as documented"),
        (PROGRAM + "\n<!-- output -->\n```text\none\ntwo\n```\n", "not as documented"),
        ("```python\n>>> 1 + 1\n3\n```\n", "Expected"),
        ("```python\n>>> 1 / 0\n1\n```\n", "ZeroDivisionError"),
        ("```python\nraise KeyError('lost')\n```\n", "lost"),
        ("```python\nimport sys\nsys.exit(0)\n```\n", "SystemExit"),
        ("```python\nif\n```\n", "SyntaxError"),
        ("```python\nleft = 1\n```\n\n```python\nright\n```\n", "right"),
    ],
)
def test_a_page_that_is_not_true_fails(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    ran = run_blocks(page, tmp_path)
    assert ran.returncode == 1
    assert complaint in ran.stdout


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM + "\nand this\n\n<!-- output -->\n```text\none\n```\n",
        "<!-- output -->\n```text\none\n```\n",
        PROGRAM + "\n<!-- output -->\n",
    ],
)
def test_an_output_that_belongs_to_no_program_fails(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    ran = run_blocks(page, tmp_path)
    assert ran.returncode == 1
    assert "output" in ran.stderr


def test_blocks_share_names_and_a_folder_and_both_streams(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport sys\nfrom pathlib import Path\nPath('here').write_text('x')\n```\n"
        "```python\n>>> Path('here').read_text()\n'x'\n>>> later = 3\n```\n"
        "```python\nprint('out', later)\nprint('log', file=sys.stderr)\nprint('any', 12345)\n```\n"
        "\n<!-- output -->\n```text\nout 3\nlog\nany ...\n```\n"
    )
    ran = run_blocks(page, tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "3 blocks ran" in ran.stdout
