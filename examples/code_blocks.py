"""Runs the Python blocks of a Markdown page word for word: ``python examples/code_blocks.py README.md``.

All blocks of a page run in order, in one namespace and one temporary folder. A block of ``>>>`` lines is a
dialogue and is compared answer by answer, as doctest does. Any other block is a program; where a text block
marked ``<!-- output -->`` follows it, what it printed (log lines included) must be that text.
``...`` stands for anything, in both.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import doctest
import io
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
OUTPUT = "<!-- output -->"
MARK = re.compile(rf"^{OUTPUT}$", re.MULTILINE)


@dataclasses.dataclass
class Block:
    """One Python block of a page."""

    line: int
    source: str
    output: str | None = None

    @property
    def is_dialogue(self) -> bool:
        """Whether it is written as it looks at the interpreter's prompt."""
        return self.source.startswith(">>>")


def read_blocks(page: str) -> list[Block]:
    """The Python blocks of a page, each with the output that the page says it has."""
    blocks: list[Block] = []
    end_of_last = 0
    for fence in FENCE.finditer(page):
        between = page[end_of_last : fence.start()].strip()
        end_of_last = fence.end()
        line = page.count("\n", 0, fence.start("body")) + 1
        if fence["language"] == "python":
            blocks.append(Block(line, fence["body"]))
        elif between.endswith(OUTPUT):
            if between != OUTPUT or not blocks or blocks[-1].is_dialogue or blocks[-1].output is not None:
                raise ValueError(f"line {line}: this output does not directly follow a program")
            blocks[-1].output = fence["body"]
    if len(MARK.findall(page)) != sum(block.output is not None for block in blocks):
        raise ValueError(f"a mark {OUTPUT} is not followed by a text block")
    return blocks


def run_block(block: Block, page: Path, namespace: dict[str, Any], printed: io.StringIO) -> str | None:
    """Run one block; what is wrong with it, or None."""
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


def run_page(page: Path) -> bool:
    """Run a page in a folder of its own; whether all of it is true."""
    blocks = read_blocks(page.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = io.StringIO()
    for block in blocks:
        # One stream for both, as on a terminal; log handlers may keep it from one block to the next.
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            complaint = run_block(block, page, namespace, printed)
        where = f"{page.name}:{block.line}"
        if complaint is not None:
            print(f"  {where}: not as documented\n{complaint}")
            return False
        lines = len(block.source.splitlines())
        kind = "a dialogue, every answer" if block.is_dialogue else "a program"
        compared = "" if block.output is None else f", {len(block.output.splitlines())} printed lines"
        print(f"  {where}: {kind} of {lines} lines{compared}: as documented")
    print(f"  {page.name}: {len(blocks)} blocks ran word for word")
    return True


def main() -> int:
    """Run the pages given; 1 if one of them is not true."""
    parser = argparse.ArgumentParser(description="Run the Python blocks of Markdown pages.")
    parser.add_argument("page", type=Path)
    page: Path = parser.parse_args().page.resolve()
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="tetherdb-page-") as folder:
        os.chdir(folder)
        try:
            return 0 if run_page(page) else 1
        finally:
            os.chdir(before)


if __name__ == "__main__":
    sys.exit(main())
