"""Runs what a page shows of a shell word for word, at a terminal: commands behind ``$``, and what they print.

A line that begins with ``> `` goes on with the command before it. ``tetherdb`` is that of this interpreter.
Colours, and spaces at the ends of lines, are not compared.
"""

from __future__ import annotations

import contextlib
import doctest
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROWS, COLUMNS = 40, 100
PROMPT, MORE = "$ ", "> "
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def complaint_about(source: str) -> str | None:
    """Runs a block in this folder; what is wrong with it, or None."""
    if not source.startswith(PROMPT):
        return f"It does not begin with a command behind {PROMPT!r}"
    with tempfile.TemporaryDirectory(prefix="tetherdb-programs-") as folder:
        program = Path(folder, "tetherdb")
        program.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m TetherDB "$@"\n', encoding="utf-8"
        )
        program.chmod(0o755)
        environment = os.environ | {
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
        }
        for command, said in commands(source):
            printed = _lines(at_terminal(command, environment))
            if not doctest.OutputChecker().check_output(_lines(said), printed, doctest.ELLIPSIS):
                return f"$ {command}\nThe page says:\n{said}\nIt printed:\n{printed}"
    return None


def commands(source: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    found: list[tuple[str, str]] = []
    for block in re.split(rf"^{re.escape(PROMPT)}", source, flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        command = [lines.pop(0)]
        while lines and lines[0].startswith(MORE):
            command.append(lines.pop(0).removeprefix(MORE))
        found.append(("\n".join(command), "".join(f"{line}\n" for line in lines)))
    return found


def at_terminal(command: str, environment: dict[str, str]) -> str:
    """What a command prints at a terminal. Nobody is there to answer questions."""
    # Not on Windows, where nothing of this runs.
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = b""
    # Linux ends a terminal that nobody writes to any more with an error.
    with contextlib.suppress(OSError):
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    process.wait()
    return COLOURS.sub("", shown.decode("utf-8")).replace("\r\n", "\n")


def _lines(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
