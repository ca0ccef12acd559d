"""Looks at TetherDB where nothing but a wheel of it is: `python -I check_installed.py [FOLDER]`.

FOLDER is that of the environment, where it is not this interpreter's. What comes with a new one aside, there
is one distribution; it brings its licenses and a bill of materials, and it stores and reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

COMES_WITH_PYTHON = {"pip", "setuptools", "wheel"}


def main(environment: str) -> None:
    """Fails at the first thing that is not so."""
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    assert installed - COMES_WITH_PYTHON == {"tetherdb"}, f"installed beside it: {installed}"

    import TetherDB

    file = Path(TetherDB.__file__).resolve()
    assert Path(environment).resolve() in file.parents, f"imported from {file}"
    assert "site-packages" in file.parts, f"imported from {file}"
    assert TetherDB.__version__ == metadata.version("tetherdb"), "module and wheel differ"
    wanted = [package for package in metadata.requires("tetherdb") or [] if "extra ==" not in package]
    assert wanted == [], f"it wants other packages: {wanted}"

    files = {path.name: path.locate() for path in metadata.files("tetherdb") or []}
    for name in ("LICENSE", "THIRD_PARTY_LICENSES", "py.typed", "_tetherdb.pyi"):
        assert name in files, f"the wheel has no {name}"
    bill = json.loads(Path(files["tetherdb.cyclonedx.json"]).read_text(encoding="utf-8"))
    components = {f"{part['name']} {part['version']}" for part in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX", "the bill of materials is in another form"
    # What the licenses are given of is in the bill, too.
    rows = Path(files["THIRD_PARTY_LICENSES"]).read_text(encoding="utf-8").split("=" * 100)[0].splitlines()
    crates = {row.partition(":")[0] for row in rows if ": " in row and row[0].islower()}
    assert len(crates) > 100, "the licenses are of too few crates"
    assert crates <= components, f"the bill lacks {sorted(crates - components)}"

    with tempfile.TemporaryDirectory() as folder:
        config = {"local": {"filepath": str(Path(folder, "store"))}}
        with TetherDB.DB(config) as db:
            db.write_message("alice", {"name": "Alice"})
            db.write_queue_message("bob", {"name": "Bob"})
        with TetherDB.DB(config) as db:
            assert db.read_message("alice") == {"name": "Alice"}
            assert db.read_message("bob") == {"name": "Bob"}
    check_command()
    print(f"test-wheel: Python {sys.version.split()[0]}: alone, complete, and it stores and reads")


def check_command() -> None:
    """The command is there; without the packages of its extra it says what to install."""
    (command,) = metadata.entry_points(group="console_scripts", name="tetherdb")
    assert command.value == "TetherDB.cli:main", f"the command is {command.value}"
    assert callable(command.load())
    run = [sys.executable, "-I", "-m", "TetherDB", "list"]
    ended = subprocess.run(run, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, f"it ended with {ended.returncode}"
    assert 'pip install "tetherdb[cli]"' in ended.stderr, ended.stderr


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else sys.prefix)
