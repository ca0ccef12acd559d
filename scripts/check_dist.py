"""Looks at the wheels of one platform before they are published: `python scripts/check_dist.py FOLDER`."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path


def main(folder: str) -> None:
    """Fails at the first thing that is not so."""
    wheels = sorted(Path(folder).glob("*.whl"))
    tags = sorted("-".join(wheel.stem.split("-")[2:4]) for wheel in wheels)
    assert tags == ["cp311-abi3", "cp314-cp314t"], f"in {folder} there is {tags}"
    for wheel in wheels:
        check(wheel)
        print(f"{wheel.name}: complete")


def check(path: Path) -> None:
    """What a wheel must bring."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        for end in ("/licenses/LICENSE", "/licenses/THIRD_PARTY_LICENSES", "TetherDB/py.typed"):
            assert any(name.endswith(end) for name in names), f"{path.name} has no {end}"
        bills = [name for name in names if ".dist-info/sboms/tetherdb" in name]
        assert len(bills) == 1, f"{path.name} has {len(bills)} bills of materials, not one"
        assert len(json.loads(wheel.read(bills[0]))["components"]) > 100, f"{bills[0]} lists too little"


if __name__ == "__main__":
    main(sys.argv[1])
