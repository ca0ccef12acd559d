"""The browser without a terminal, driven by textual's pilot, and read as a person reads it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from textual.widgets import Input, Static, TextArea

from TetherDB.cli.browse.app import Browser
from TetherDB.cli.browse.panes import KeyRows, PlaceRows, StatusPane
from TetherDB.cli.browse.screens import Editor, Question
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from TetherDB import DB

# Seconds that nothing here takes.
PATIENCE = 60


class Seen:
    """What is on the screen, and keys to press."""

    def __init__(self, app: Browser, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot
        self._said: list[str] = []
        notify = app.notify

        def keep(message: str, **options: Any) -> None:
            self._said.append(message)
            notify(message, **options)

        # Those on the screen go by themselves, on a slow machine before they were looked at.
        setattr(app, "notify", keep)  # noqa: B010

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for as long as a busy machine may need."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it never came true; there is:\n{self.screen()}"
            await self.pilot.pause(0.01)

    def screen(self) -> str:
        return "\n".join(
            "".join(segment.text for segment in strip)
            for strip in self.app.screen._compositor.render_strips()  # pyright: ignore
        )

    def text(self, selector: str) -> str:
        return str(self.app.screen.query_one(selector, Static).content)

    def places(self) -> list[str]:
        rows = self.app.query_one(PlaceRows)
        return [" ".join(rows.text(row, 60).plain.split()).replace("▸ ", "▸") for row in range(rows.count)]

    def keys(self) -> list[str]:
        """The keys of all loaded rows, as they are drawn."""
        rows = self.app.query_one(KeyRows)
        return [rows.text(row, 200).plain[1:] for row in range(rows.count)]

    def count(self) -> str:
        return self.text("#key-count")

    def about(self) -> str:
        return self.text("#about")

    def value(self) -> str:
        return self.text("#value")

    def problem(self) -> str:
        shown = self.app.screen.query_one("#key-problem", Static)
        return str(shown.content) if shown.display else ""

    def status(self) -> str:
        return str(self.app.query_one(StatusPane).content)

    def said(self) -> list[str]:
        """All that was said so far, also what is no longer on the screen."""
        return self._said

    async def choose(self, name: str) -> None:
        """Goes to a place, as it is named in its row, and chooses it."""
        rows = self.app.query_one(PlaceRows)
        shown = {None: "{0.backend}", "": "bucket)"}

        def names() -> list[str]:
            return [shown.get(at.bucket, printable(at.bucket or "")).format(at) for at in rows.places]

        await self.until(lambda: name in names())
        rows.focus()
        rows.move_to(names().index(name))
        await self.press("enter")

    async def value_of(self, name: str) -> None:
        """Waits until the record of this key is shown."""
        await self.until(lambda: f"key     {name}\n" in self.about())

    async def editor(self) -> TextArea:
        await self.until(lambda: isinstance(self.app.screen, Editor) and self.app.screen.is_mounted)
        await self.pilot.pause()
        return self.app.screen.query_one(TextArea)

    async def question(self) -> str:
        """Waits for one; gives all of it."""
        await self.until(lambda: isinstance(self.app.screen, Question) and self.app.screen.query("#asked"))
        await self.pilot.pause()
        lines = self.app.screen.query("#asked-about Static").results(Static)
        return "\n".join([self.text("#asked"), *(str(line.content) for line in lines)])

    def set_key(self, key: str) -> None:
        self.app.screen.query_one("#new-key", Input).value = key


def browse(
    db: DB,
    play: Callable[[Seen], Awaitable[None]],
    *backends: str,
    size: tuple[int, int] = (120, 32),
    **options: Any,
) -> Browser:
    """Opens the browser, plays, and closes it."""
    app = Browser(db, backends or ("local",), **options)

    async def run() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await play(Seen(app, pilot))

    asyncio.run(run())
    assert app.failure is None
    return app
