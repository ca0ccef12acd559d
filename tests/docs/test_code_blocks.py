"""Every Python block of the README and of each page in docs/ runs, word for word, and answers as it says.

Blocks that need servers run on real ones: an etcd, a DynamoDB, and for docs/etcd.md a cluster with users and
mutual TLS. The pages name them by the addresses that docker-compose.yaml gives them, `localhost:2379` and
`http://localhost:8000`, and by `etcd-1.example.com:2379` to `etcd-3.example.com:2379`. A developer may have
servers of their own at the former. So the tests put the addresses of the servers that they started in the
place of these, in programs and outputs alike. That is the only change: all else is run, and compared, to the
letter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .doc_pages import ROOT, run_page

if TYPE_CHECKING:
    from .conftest import Production

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_is_true(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    options: list[str | Path] = []
    variables: dict[str, str] = {}
    if "\n<!-- servers -->\n" in text:
        options += request.getfixturevalue("at_servers")
    if "etcd-1.example.com" in text:
        production: Production = request.getfixturevalue("production")
        options += production.options
        variables |= production.variables
    ran = run_page(page, tmp_path, options, variables)
    assert ran.returncode == 0, ran.stdout
    # Nothing after the last block either: the end of the program is silent.
    assert ran.stderr == ""
    blocks = text.count("\n```python\n") + text.count("\n```console\n")
    assert f"{page.name}: {blocks} blocks ran word for word\n" in ran.stdout
    # Every block ran in the page's own temporary folder.
    assert list(tmp_path.iterdir()) == []


def test_the_readme_runs_without_servers_too(tmp_path: Path) -> None:
    # As `make demo` does it.
    ran = run_page(ROOT / "README.md", tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert ran.stderr == ""
    assert "; 2 were skipped\n" in ran.stdout


def test_the_readme_has_its_blocks() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^```python$", text, re.MULTILINE)) == 8
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
    ran = run_page(page, tmp_path)
    assert ran.returncode == 1
    assert complaint in ran.stdout


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM + "\nand this\n\n<!-- output -->\n```text\none\n```\n",
        "<!-- output -->\n```text\none\n```\n",
        PROGRAM + "\n<!-- output -->\n",
        "<!-- servers -->\n\nand this\n\n" + PROGRAM,
        "<!-- servers -->\n```text\none\n```\n",
        "<!-- file: a b -->\n```json\n{}\n```\n",
        "<!-- file: a -->\n```text\none\n```\n\n<!-- output -->\n```text\none\n```\n",
    ],
)
def test_a_mark_that_belongs_to_nothing_fails(text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    ran = run_page(page, tmp_path)
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
    ran = run_page(page, tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "3 blocks ran" in ran.stdout


def test_console_blocks_are_run_at_a_terminal(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '```console\n$ tetherdb put a \'{"n": 1}\'\n$ tetherdb get a\n{\n  "n": 1\n}\n'
        "$ for n in 1 2; do\n> echo $n; done\n1\n2\n$ tetherdb get b; echo $?\n...not exist...\n1\n```\n"
        "```python\n>>> from TetherDB import DB\n>>> DB().read_message('a')\n{'n': 1}\n```\n"
    )
    ran = run_page(page, tmp_path)
    assert ran.returncode == 0, ran.stdout
    assert "2 blocks ran word for word\n" in ran.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```console\n$ echo one\ntwo\n```\n", "It printed:\none"),
        ("```console\n$ echo one\n```\n", "It printed:\none"),
        ("```console\n$ true\none\n```\n", "The page says:\none"),
        ("```console\n$ echo one\none\n$ echo two\none\n```\n", "$ echo two"),
        ("```console\necho one\n```\n", "does not begin with a command"),
    ],
)
def test_a_console_block_that_is_not_true_fails(text: str, complaint: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    ran = run_page(page, tmp_path)
    assert ran.returncode == 1
    assert complaint in ran.stdout


def test_blocks_that_need_servers_run_only_when_there_are_some(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PROGRAM + "\n<!-- servers -->\n```python\nprint('two')\n```\n\n" + PROGRAM)
    ran = run_page(page, tmp_path)
    assert ran.returncode == 0
    assert "needs the servers of docker-compose.yaml: skipped" in ran.stdout
    assert "2 blocks ran word for word; 1 were skipped" in ran.stdout
    ran = run_page(page, tmp_path, ["--servers"])
    assert "3 blocks ran word for word\n" in ran.stdout


def test_a_block_can_be_a_file_and_a_folder_can_be_given(tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "tls").mkdir(parents=True)
    (files / "tls" / "ca.pem").write_text("given")
    page = tmp_path / "page.md"
    page.write_text(
        '<!-- file: a.json -->\n```json\n{"a": "host:1"}\n```\n'
        "```python\nfrom pathlib import Path\n"
        "print(Path('a.json').read_text(), Path('tls/ca.pem').read_text(), 'host:1')\n```\n"
        '\n<!-- output -->\n```text\n{"a": "host:1"}\n given host:1\n```\n'
    )
    ran = run_page(page, tmp_path, ["--files", files, "--at=host:1=there:2"])
    assert ran.returncode == 0, ran.stdout
    assert "the file a.json" in ran.stdout
    page.write_text(page.read_text().replace("print(", "assert 'there:2' == 'host:1'\nprint('there:2', "))
    assert run_page(page, tmp_path, ["--files", files]).returncode == 1


def test_pages_name_the_servers_as_docker_compose_has_them() -> None:
    compose = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    assert re.findall(r'- "127\.0\.0\.1:(\d+):\1"', compose) == ["2379", "8000"]
    for page in PAGES:
        named = re.findall(r"localhost:(\d+)", page.read_text(encoding="utf-8"))
        assert set(named) <= {"2379", "8000", "1"}, page.name
