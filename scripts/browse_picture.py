"""Draws the picture of docs/browse.md: ``python scripts/browse_picture.py``.

The browser runs on a store that is made for it, so the picture is the same each time. Nothing is asked of a
server: the sample of etcd is in a second file.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from TetherDB import DB, FlushTimeout
from TetherDB.cli.browse.app import Browser
from TetherDB.cli.browse.panes import KeyRows, StatusPane
from TetherDB.cli.browse.queues import JournalLook, JournalWatch

if TYPE_CHECKING:
    from TetherDB.types import KeysPage

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "browse.svg"
SIZE = (120, 32)
# Seconds that drawing never takes.
PATIENCE = 60
NAMES = (
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "mallory",
    "niaj",
)
CITIES = (
    "Zürich",
    "Oslo",
    "Lisbon",
    "Kyoto",
    "Quito",
    "Accra",
    "Lima",
    "Hanoi",
    "Turin",
    "Riga",
    "Porto",
    "Bern",
)
# Nobody listens there: what is queued for it stays in the journal.
NOWHERE = {"endpoints": ["localhost:1"]}


class Watch(JournalWatch):
    """As if another program had opened it, always the same one."""

    def look(self) -> JournalLook:
        """What it holds now."""
        return replace(super().look(), owner=4711)


def fill(db: DB, elsewhere: DB) -> None:
    """The sample."""
    users = {
        f"{name}-{number:03}": {
            "name": name.capitalize(),
            "city": CITIES[index],
            "active": index % 3 != 1,
            "visits": 17 * number + index,
            "score": (index + 4) / 4,
            "tags": ["customer", "newsletter"] if index % 2 else ["customer"],
            "address": {"street": "Bahnhofstrasse 12", "floor": None},
        }
        for number in range(1, 101)
        for index, name in enumerate(NAMES)
    }
    db.write_messages(users, bucket="users")
    db.write_messages({f"2026-{n:05}": {"total": n} for n in range(8450)}, bucket="orders")
    db.write_messages({f"session-{n:04}": "open" for n in range(312)}, bucket="sessions")
    db.write_messages({"motd": "Welcome.", "version": "3"})
    elsewhere.write_messages({f"{n:03}": {"on": True} for n in range(64)}, bucket="flags")
    elsewhere.write_messages({f"node-{n}": {"up": True} for n in range(5)}, bucket="nodes")


async def draw(app: Browser) -> str:
    """The picture, once everything is there."""
    async with app.run_test(size=SIZE) as pilot:

        async def until(seen: str, selector: str) -> None:
            async with asyncio.timeout(PATIENCE):
                while seen not in str(getattr(app.query_one(selector), "content", "")):
                    await pilot.pause(0.02)

        await pilot.press("slash", *"car", "enter")
        await until("100 found in 1,200 keys", "#key-count")
        app.query_one(KeyRows).move_to(6)
        await until("carol-007", "#about")
        await until("pending", f"#{app.query_one(StatusPane).id}")
        async with asyncio.timeout(PATIENCE):
            while any(found.state == "scanning" for found in app.found.values()):
                await pilot.pause(0.02)
        await pilot.pause()
        return app.export_screenshot(title="tetherdb browse --config shop.json")


def picture() -> str:
    """Makes the sample, and draws it."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "shop.journal"
        config = {"local": {"filepath": f"{folder}/shop", "synchronous": "off"}, "etcd": NOWHERE}
        with DB({**config, "queue_batch": {"journal": journal}}) as queue:
            for number in range(3):
                queue.write_queue_message(f"flags:{number}", "on", backend="etcd")
            with contextlib.suppress(FlushTimeout):
                queue.stop(timeout=0)
        db = DB({**config, "dynamodb": {"table_name": "shop", "region": "eu-central-1"}})
        elsewhere = DB({"local": {"filepath": f"{folder}/etcd", "synchronous": "off"}})
        fill(db, elsewhere)
        for number in range(1200):
            db.write_queue_message(f"sessions:session-{number % 312:04}", "open")
        db.flush()

        def list_page(size: int, after: str | None, bucket: str, backend: str) -> KeysPage:
            return (elsewhere if backend == "etcd" else db).list_keys(size, after, bucket)

        app = Browser(
            db,
            ["local", "dynamodb", "etcd"],
            bucket="users",
            journal=Watch(journal),
            title="shop.json",
            list_page=list_page,
        )
        # No page that shows the picture is to fetch a font from somewhere: every system has one of this kind.
        return re.sub(r"@font-face \{.*?\}\s*", "", asyncio.run(draw(app)), flags=re.DOTALL)


def main() -> None:
    """Writes it."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"{PICTURE} is drawn", file=sys.stderr)


if __name__ == "__main__":
    main()
