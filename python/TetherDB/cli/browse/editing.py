"""Changing records: each change shows what it is, asks, and looks whether somebody else was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from TetherDB import TetherDBError
from TetherDB.cli.browse import records
from TetherDB.cli.browse.records import WrongText
from TetherDB.cli.browse.screens import Editor, Question, Typed
from TetherDB.cli.failing import one_line
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from TetherDB.cli.browse.app import Browser
    from TetherDB.cli.browse.places import Place

FAILURES = (TetherDBError, OSError, ValueError, TypeError)


async def edit(app: Browser, backend: str, key: str, text: str | None) -> None:
    """Edits a value, until it is stored or given up."""
    try:
        shown, as_json = records.editable(text or "")
    except WrongText as error:
        app.say(str(error), bad=True)
        return
    name = printable(key)
    again = False
    while True:
        typed = await app.push_screen_wait(
            Editor(f"edit {name}", key, shown, as_json=as_json, new=False, typed=again)
        )
        if typed is None:
            return
        new = records.stored(typed.value)
        try:
            now = await app.calls.run(backend, records.read, app.db, backend, key)
            if await app.push_screen_wait(_may_replace(name, backend, text, now, new)):
                await _store(app, backend, typed, existed=now is not None)
                return
        except FAILURES as error:
            app.say(one_line(str(error)), bad=True)
        # Nothing of what was typed is lost by saying no.
        shown, as_json, again = _as_typed(typed), not isinstance(typed.value, str), True


async def make(app: Browser, place: Place) -> None:
    """Makes a key, until it is stored or given up."""
    begun, text, as_json, again = (f"{place.bucket}:" if place.bucket else ""), "{\n  \n}", True, False
    while True:
        heading = f"new key in {place.backend}"
        typed = await app.push_screen_wait(
            Editor(heading, begun, text, as_json=as_json, new=True, typed=again)
        )
        if typed is None:
            return
        try:
            now = await app.calls.run(place.backend, records.read, app.db, place.backend, typed.key)
            if await app.push_screen_wait(_may_make(place.backend, typed, now)):
                await _store(app, place.backend, typed, existed=now is not None)
                return
        except FAILURES as error:
            app.say(one_line(str(error)), bad=True)
        begun, text = typed.key, _as_typed(typed)
        as_json, again = not isinstance(typed.value, str), True


async def remove(app: Browser, backend: str, key: str, text: str | None) -> None:
    """Deletes a key, if the answer is yes."""
    name = printable(key)
    try:
        now = await app.calls.run(backend, records.read, app.db, backend, key)
        if now is None:
            app.say(f"{name} was deleted meanwhile by somebody else.", bad=True)
            app.changed(backend, key, -1)
            return
        changed = "" if now == text else " Somebody else has changed it meanwhile; this is what it is now:"
        question = f"Delete {name} from {backend}? It cannot be undone.{changed}"
        lines = [f"  {line}" for line in records.lines_of(now[: records.MOST_EDITED])[:20]]
        if not await app.push_screen_wait(Question(question, lines, yes="Delete")):
            return
        existed = await app.calls.run(backend, records.delete, app.db, backend, key)
    except FAILURES as error:
        app.say(one_line(str(error)), bad=True)
        return
    app.say(f"Deleted {name}." if existed else f"{name} was deleted meanwhile by somebody else.")
    app.changed(backend, key, -1)


def _as_typed(typed: Typed) -> str:
    return (
        records.editable(records.stored(typed.value))[0] if not isinstance(typed.value, str) else typed.value
    )


def _may_replace(name: str, backend: str, old: str | None, now: str | None, new: str) -> Question:
    if now is None:
        question = f"{name} was deleted meanwhile by somebody else. Write it to {backend} again?"
        return Question(question, records.difference(None, new), yes="Write")
    if now != old:
        lines = [
            "Changed by somebody else since you opened it:",
            *records.difference(old, now),
            "",
            "What overwriting it changes now:",
            *records.difference(now, new),
        ]
        question = f"{name} in {backend} has changed meanwhile. Overwrite what somebody else wrote?"
        return Question(question, lines, yes="Overwrite")
    return Question(f"Overwrite {name} in {backend}?", records.difference(now, new), yes="Overwrite")


def _may_make(backend: str, typed: Typed, now: str | None) -> Question:
    name = printable(typed.key)
    lines = records.difference(now, records.stored(typed.value))
    if now is None:
        return Question(f"Write {name} to {backend}?", lines, yes="Write")
    return Question(f"{name} exists in {backend}. Overwrite it?", lines, yes="Overwrite")


async def _store(app: Browser, backend: str, typed: Typed, *, existed: bool) -> None:
    """Writes; a key that is to be replaced does not come back where somebody has deleted it just now."""
    if existed:
        if not await app.calls.run(backend, records.replace, app.db, backend, typed.key, typed.value):
            raise TetherDBError(
                f"{printable(typed.key)} was deleted meanwhile. Nothing was written: save again."
            )
    else:
        await app.calls.run(backend, records.write, app.db, backend, typed.key, typed.value)
    app.say(f"Written: {printable(typed.key)}.")
    app.changed(backend, typed.key, 0 if existed else 1)
