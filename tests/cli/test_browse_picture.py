"""The picture of docs/browse.md is what the browser draws. `python scripts/browse_picture.py` makes it."""

from __future__ import annotations

import html
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.compile(r"<text [^>]*>([^<]*)</text>")


def words(picture: str) -> list[str]:
    """What is written in a picture. Colours and measures may change with textual."""
    return html.unescape(" ".join(TEXT.findall(picture))).split()


def test_the_picture_is_up_to_date() -> None:
    drawn = runpy.run_path(str(ROOT / "scripts" / "browse_picture.py"))["picture"]()
    kept = (ROOT / "docs" / "images" / "browse.svg").read_text(encoding="utf-8")
    assert words(drawn) == words(kept)
    assert "carol-007" in words(kept)


def test_the_picture_tells_nothing_of_where_it_was_drawn() -> None:
    kept = (ROOT / "docs" / "images" / "browse.svg").read_text(encoding="utf-8")
    assert "/tmp" not in kept
    assert str(ROOT) not in kept
    # It fetches nothing.
    assert "url(http" not in kept.replace('"', "")
