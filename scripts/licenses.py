#!/usr/bin/env python3
"""Writes THIRD_PARTY_LICENSES: what is linked into the module, under which licenses, with their texts.

    python scripts/licenses.py            writes the file anew
    python scripts/licenses.py --check    says whether it fits Cargo.lock, and writes nothing

The list is cargo's own: all that a wheel for any platform links. What only runs while it is built (procedural
macros, build scripts, tests) is not in it. The texts are those that the crates bring.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "THIRD_PARTY_LICENSES"
RULE = "=" * 100

# What wheels are built for; .github/workflows/release.yml says so too.
PLATFORMS = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "aarch64-pc-windows-msvc",
]
# Where a crate offers a choice, the first of these that it offers is taken.
PREFERRED = ["Apache-2.0", "MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "Unicode-3.0"]
# How the file of a license is called, behind the word LICENSE.
FILES = {"Apache-2.0": "apache", "MIT": "mit", "ISC": "isc", "BSD-2-Clause": "bsd", "Zlib": "zlib"}

HEADER = """\
What TetherDB's module contains of others

TetherDB itself is under the MIT license; see LICENSE. Its module _tetherdb links the crates below,
SQLite, which libsqlite3-sys brings along and whose authors have put it into the public domain
(https://sqlite.org/copyright.html), and the standard library of Rust
(https://github.com/rust-lang/rust, MIT OR Apache-2.0). Where a crate offers a choice of licenses,
the one that is taken here stands behind the arrow. Some crates are in the wheels for some platforms
only.

This file is written by scripts/licenses.py (make licenses), from Cargo.lock.
"""

# For the few crates that name a license and bring no text.
MIT = """\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


class Problem(Exception):
    """What keeps the file from being written, in words for whoever runs this."""


@dataclass(frozen=True)
class Crate:
    """One crate, as cargo knows it."""

    name: str
    version: str
    license: str
    repository: str
    folder: Path

    @property
    def title(self) -> str:
        """As `serde 1.0.0`."""
        return f"{self.name} {self.version}"


def cargo(*arguments: str) -> str:
    """What cargo prints."""
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(f"cargo {arguments[0]} failed:\n{done.stderr}")
    return done.stdout


def linked() -> list[Crate]:
    """What the wheels link, for all platforms together."""
    tree = cargo(
        *("tree", "--locked", "--features", "python", *(f"--target={platform}" for platform in PLATFORMS)),
        *("--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"),
    )
    titles = {" ".join(line.split()[:2]).replace(" v", " ") for line in tree.splitlines() if line}
    metadata = json.loads(cargo("metadata", "--locked", "--features", "python", "--format-version", "1"))
    crates = [
        Crate(
            name=package["name"],
            version=package["version"],
            license=package["license"] or "",
            repository=package["repository"] or f"https://crates.io/crates/{package['name']}",
            folder=Path(package["manifest_path"]).parent,
        )
        for package in metadata["packages"]
        if package["source"]
    ]
    found = {crate.title: crate for crate in crates if crate.title in titles}
    missing = sorted(titles - set(found) - {title for title in titles if title.startswith("tetherdb ")})
    if missing:
        raise Problem(f"cargo metadata does not know {', '.join(missing)}")
    return sorted(found.values(), key=lambda crate: (crate.name, crate.version))


def chosen(crate: Crate) -> list[str]:
    """The licenses that are taken: one of each choice, all that are joined by AND."""
    expression = re.sub(r"\s*/\s*", " OR ", crate.license)
    taken: list[str] = []
    for part in expression.split(" AND "):
        offered = [name.strip("() ") for name in part.split(" OR ")]
        if len(offered) == 1:
            taken += offered
        elif best := [name for name in PREFERRED if name in offered]:
            taken.append(best[0])
        else:
            raise Problem(
                f"{crate.title} is under {crate.license!r}: add one to PREFERRED in scripts/licenses.py"
            )
    return taken


def texts(crate: Crate, taken: list[str], all_crates: list[Crate]) -> list[str]:
    """What the crate says of the licenses that are taken, and its notices."""
    names = [path for path in sorted(crate.folder.iterdir()) if path.is_file()]
    of_license = [path for path in names if re.match(r"licen[sc]e|copying|unlicense", path.name, re.I)]
    others = [path for path in names if re.match(r"notice|copyright", path.name, re.I)]
    # A file that says in its name of which license it is, and of which not.
    right = [
        path
        for path in of_license
        if any(FILES.get(name, name.lower()) in path.name.lower() for name in taken)
    ]
    files = [*(right or of_license), *others]
    if not files:
        siblings = [other for other in all_crates if other.repository == crate.repository and other != crate]
        for sibling in siblings:
            if sibling.license == crate.license and (found := texts(sibling, taken, [])):
                return found
        if all_crates and taken == ["MIT"]:
            return [f"Copyright (c) the authors of {crate.name}, {crate.repository}\n\n{MIT}".strip()]
        if all_crates:
            raise Problem(f"{crate.title} ({crate.license}) brings no text: add it to scripts/licenses.py")
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]


def document(crates: list[Crate]) -> str:
    """The whole file. A text that several crates bring stands in it once."""
    rows: list[str] = []
    bodies: dict[str, tuple[str, list[str]]] = {}
    for crate in crates:
        taken = chosen(crate)
        choice = "" if crate.license == " AND ".join(taken) else f" -> {' AND '.join(taken)}"
        rows.append(f"{crate.title}: {crate.license}{choice}, {crate.repository}")
        for text in texts(crate, taken, crates):
            bodies.setdefault(" ".join(text.split()), (text, []))[1].append(crate.title)
    parts = [HEADER, *rows, ""]
    for text, titles in sorted(bodies.values(), key=lambda body: (-len(body[1]), body[1])):
        parts += [RULE, *wrapped(titles), RULE, "", *(line.rstrip() for line in text.splitlines()), ""]
    return "\n".join(parts)


def wrapped(titles: list[str]) -> list[str]:
    """The names of crates, in lines of some length."""
    lines = [""]
    for title in titles:
        if lines[-1] and len(lines[-1]) + len(title) > len(RULE):
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{title}"
    return lines


def main(arguments: list[str]) -> int:
    """Writes or checks; gives the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        wanted = document(linked())
    except Problem as problem:
        print(f"licenses: {problem}", file=sys.stderr)
        return 1
    if not arguments:
        TARGET.write_text(wanted, encoding="utf-8")
        return 0
    if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != wanted:
        print(f"licenses: {TARGET.name} does not fit Cargo.lock. Run: make licenses", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
