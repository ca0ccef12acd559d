"""Runs the blocks of a Markdown page word for word: ``python examples/code_blocks.py README.md``.

All blocks of a page run in order, in one namespace and one temporary folder. A block of ``>>>`` lines is a
dialogue and is compared answer by answer, as doctest does. Any other block is a program; where a text block
marked ``<!-- output -->`` follows it, what it printed (log lines included) must be that text.
``...`` stands for anything, in both. A block of the language ``console`` is what a shell shows: see
console_blocks.py.

A block of any language that is marked ``<!-- file: NAME -->`` is no program: it becomes that file in the
folder. A Python block marked ``<!-- servers -->`` needs the servers of docker-compose.yaml. It runs with
``--servers``, and is skipped without. Where they are elsewhere, ``--at localhost:2379=HOST:PORT`` puts one
address for another, everywhere on the page.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import doctest
import io
import os
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import console_blocks

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = "<!-- output -->"
SERVERS = "<!-- servers -->"
FILE = re.compile(r"<!-- file: ([\w./-]+) -->$")
MARK = re.compile(rf"^({OUTPUT}|{SERVERS}|<!-- file: .* -->)$", re.MULTILINE)


@dataclasses.dataclass
class Block:
    """One block of a page: a program, a dialogue, or a file."""

    line: int
    source: str
    output: str | None = None
    needs_servers: bool = False
    file: str | None = None
    is_console: bool = False

    @property
    def is_dialogue(self) -> bool:
        """Whether it is written as it looks at the interpreter's prompt."""
        return self.source.startswith(">>>")


def read_blocks(page: str) -> list[Block]:
    """The blocks of a page that do something, each with the output that the page says it has."""
    blocks: list[Block] = []
    end_of_last = marks = 0
    for fence in FENCE.finditer(page):
        between = page[end_of_last : fence.start()].strip()
        end_of_last = fence.end()
        line = page.count("\n", 0, fence.start("body")) + 1
        file = FILE.search(between)
        needs_servers = between.endswith(SERVERS)
        if file or fence["language"] in ("python", "console"):
            name = file[1] if file else None
            is_console = fence["language"] == "console"
            blocks.append(Block(line, fence["body"], None, needs_servers, name, is_console))
            marks += needs_servers or file is not None
        elif between.endswith(OUTPUT):
            last = blocks[-1] if blocks else None
            is_program = last and not (last.is_dialogue or last.is_console or last.file)
            if between != OUTPUT or last is None or not is_program or last.output is not None:
                raise ValueError(f"line {line}: this output does not directly follow a program")
            last.output = fence["body"]
            marks += 1
    if len(MARK.findall(page)) != marks:
        raise ValueError(f"a mark such as {OUTPUT} is not followed by its block")
    return blocks


def run_block(block: Block, page: Path, namespace: dict[str, Any], printed: io.StringIO) -> str | None:
    """Run one block; what is wrong with it, or None."""
    if block.is_console:
        return console_blocks.complaint_about(block.source)
    if block.is_dialogue:
        return _run_dialogue(block, page, namespace)
    start = printed.tell()
    try:
        # The empty lines make the numbers in a traceback those of the page.
        code = compile("\n" * (block.line - 1) + block.source, str(page), "exec", dont_inherit=True)
        exec(code, namespace)
    except (Exception, SystemExit):
        return traceback.format_exc()
    printed.seek(start)
    output = printed.read()
    if block.output is None:
        return None
    if doctest.OutputChecker().check_output(block.output, output, doctest.ELLIPSIS):
        return None
    return f"The page says:\n{block.output}\nIt printed:\n{output}"


def _run_dialogue(block: Block, page: Path, namespace: dict[str, Any]) -> str | None:
    test = doctest.DocTestParser().get_doctest(block.source, {}, page.name, str(page), block.line - 1)
    test.globs = namespace
    complaints: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=complaints.append, clear_globs=False)
    return "".join(complaints) or None


def run_page(page: Path, addresses: dict[str, str] | None = None, with_servers: bool = False) -> bool:
    """Run a page in a folder of its own; whether all of it is true."""
    text = page.read_text(encoding="utf-8")
    for documented, real in (addresses or {}).items():
        text = text.replace(documented, real)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    ran = skipped = 0
    for block in read_blocks(text):
        where = f"{page.name}:{block.line}"
        if block.file is not None:
            Path(block.file).write_text(block.source, encoding="utf-8")
            print(f"  {where}: the file {block.file}")
            continue
        if block.needs_servers and not with_servers:
            skipped += 1
            print(f"  {where}: needs the servers of docker-compose.yaml: skipped")
            continue
        # One stream for both, as on a terminal; log handlers may keep it from one block to the next.
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            complaint = run_block(block, page, namespace, printed)
        if complaint is not None:
            print(f"  {where}: not as documented\n{complaint}")
            return False
        ran += 1
        lines = len(block.source.splitlines())
        kind = "a dialogue, every answer" if block.is_dialogue else "a program"
        kind = "commands, and what they print," if block.is_console else kind
        compared = "" if block.output is None else f", {len(block.output.splitlines())} printed lines"
        print(f"  {where}: {kind} of {lines} lines{compared}: as documented")
    left = f"; {skipped} were skipped" if skipped else ""
    print(f"  {page.name}: {ran} blocks ran word for word{left}")
    return True


def main() -> int:
    """Run the page given; 1 if it is not true."""
    parser = argparse.ArgumentParser(description="Run the Python blocks of a Markdown page.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--servers", action="store_true", help="run the blocks that need servers, too")
    parser.add_argument(
        "--at", action="append", default=[], metavar="DOCUMENTED=REAL", help="where a server is"
    )
    parser.add_argument("--files", type=Path, help="a folder whose content the page's folder begins with")
    given = parser.parse_args()
    page: Path = given.page.resolve()
    addresses: dict[str, str] = dict(pair.split("=", 1) for pair in given.at)
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="tetherdb-page-") as folder:
        if given.files:
            shutil.copytree(given.files, folder, dirs_exist_ok=True)
        os.chdir(folder)
        try:
            return 0 if run_page(page, addresses, given.servers) else 1
        finally:
            os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
