"""What keys do. All that asks the engine runs in workers, which give way to the next of their kind."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.markup import escape
from textual.widgets import Footer, Input, Static
from textual.worker import WorkerFailed

from TetherDB import TetherDBError
from TetherDB.cli.browse import editing, pretty, queues
from TetherDB.cli.browse.calls import Calls
from TetherDB.cli.browse.listing import Listing, ListPage
from TetherDB.cli.browse.panes import KeyPane, KeyRows, PlaceRows, StatusPane, ValuePane
from TetherDB.cli.browse.places import MOST_BUCKETS, SCANNED_AT_ONCE, Found, Place
from TetherDB.cli.browse.records import read
from TetherDB.cli.browse.screens import Editor, Help
from TetherDB.cli.browse.styles import STYLES
from TetherDB.cli.failing import Code, one_line
from TetherDB.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from textual.worker import Worker

    from TetherDB import DB

# Seconds: between two looks at the queue; that a cursor rests before what is under it is read.
LOOK_EVERY = 1.0
REST = 0.05
# Rows that are loaded beyond those to be seen; and of a search, which is to say how many it finds.
AHEAD = 50
SEARCHED_AHEAD = 1000
# More of it no terminal's clipboard takes.
MOST_COPIED = 1 << 20
# What the engine raises for what is stored, and for what it is given.
FAILURES = (TetherDBError, OSError, ValueError, TypeError)


class Browser(App[None]):
    """The window."""

    CSS = STYLES
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("r", "refresh", "Refresh"),
        Binding("s", "scan", "Scan"),
        Binding("c", "copy", "Copy"),
        Binding("C", "copy_key", show=False),
        Binding("escape", "clear", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(
        self,
        db: DB,
        backends: Sequence[str],
        *,
        backend: str = "local",
        bucket: str = "",
        journal: queues.JournalWatch | None = None,
        write: bool = False,
        title: str = "",
        list_page: ListPage | None = None,
    ) -> None:
        """backend, bucket: what is chosen at first. journal: whose state is shown. write: allows changes.
        list_page: instead of the verb."""
        super().__init__()
        self.db, self.write = db, write
        self.list_page = list_page or db.list_keys
        self.calls = Calls()
        self.found = {name: Found(name) for name in backends}
        self.listing: Listing | None = None
        # The record that is shown: its key and stored text.
        self.shown: tuple[str, str | None] | None = None
        self._reading: str | None = None
        self.failure: BaseException | None = None
        self._loader: Worker[None] | None = None
        self._scans: dict[str, Worker[None]] = {}
        self._first = Place(backend if backend in self.found else backends[0], bucket or None)
        self._journal = journal
        self._named = title

    def compose(self) -> ComposeResult:
        """The panes."""
        yield Static("", id="title", markup=False)
        with Horizontal(id="body"):
            with Vertical(id="places-pane") as pane:
                pane.border_title = "places"
                yield PlaceRows()
            yield KeyPane()
            yield ValuePane()
        yield StatusPane()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begins: the first place, the scans, the looks at the queue."""
        mode = ("  WRITE", "bold $text-warning") if self.write else ("  read-only", "$foreground 60%")
        self.query_one("#title", Static).update(
            Content.assemble(("TetherDB", "bold"), f"  {printable(self._named)}", mode)
        )
        for key, action in (("e", "edit"), ("n", "new"), ("d", "delete")):
            self.bind(key, action, description=action.capitalize(), show=self.write)
        # Behind them in the footer.
        self.bind("question_mark", "help", description="Help", key_display="?")
        self.bind("q", "leave", description="Quit")
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            # Else the terminal would be left as it is now.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, None, 143)
        for found in self.found.values():
            if Place(found.backend).is_ordered:
                self.scan(found)
        self.show_places()
        self.choose(self._first)
        self.query_one(KeyRows).focus()
        self.start(self._watch_queues, "queues")

    def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], group: str, *, exclusive: bool = False
    ) -> Worker[None]:
        """Begins work beside the interface. exclusive: the one of the same group before it is given up."""
        return self.run_worker(work, group=group, exclusive=exclusive)

    # Places.

    def show_places(self) -> None:
        """What the scans have found by now."""
        self.query_one(PlaceRows).show(self.found)
        left_out = any(found.others for found in self.found.values())
        self.query_one("#places-pane").border_subtitle = f"{MOST_BUCKETS} buckets listed" if left_out else ""
        self.show_count()

    def scan(self, found: Found) -> None:
        """Looks through a backend for its buckets, in the background."""
        self._scans[found.backend] = self.start(
            partial(self._scan, found), f"scan-{found.backend}", exclusive=True
        )

    async def _scan(self, found: Found) -> None:
        found.begin()
        after: str | None = None
        try:
            while True:
                page = await self.calls.run(
                    found.backend, self.list_page, SCANNED_AT_ONCE, after, "", found.backend
                )
                found.take(page["keys"])
                after = page["next_marker"]
                if after is None:
                    break
                self.show_places()
            found.state = "done"
        except FAILURES as error:
            found.state, found.error = "failed", one_line(str(error))
        except asyncio.CancelledError:
            found.state = "stopped"
            raise
        self.show_places()

    def action_scan(self) -> None:
        """Begins or stops the scan of the backend under the cursor, or else of the chosen one."""
        rows = self.query_one(PlaceRows)
        place = self.place
        if rows.has_focus and rows.cursor < len(rows.places):
            place = rows.places[rows.cursor]
        found = self.found[place.backend]
        if found.state == "scanning":
            self._scans[found.backend].cancel()
            self.set_timer(0.05, self.show_places)
        else:
            self.scan(found)

    def on_rows_chosen(self, event: PlaceRows.Chosen) -> None:
        """Enter on a place shows its keys, on a key its value."""
        rows = event.rows
        if isinstance(rows, PlaceRows):
            self.choose(rows.places[rows.cursor])
            self.query_one(KeyRows).focus()

    # Keys.

    @property
    def place(self) -> Place:
        """What is chosen."""
        return self.listing.place if self.listing else self._first

    def choose(self, place: Place) -> None:
        """Shows the keys of a place; without a search."""
        self.query_one(PlaceRows).chosen = place
        self.query_one(PlaceRows).refresh()
        search = self.query_one("#search", Input)
        with search.prevent(Input.Changed):
            search.value = ""
        name = place.backend if place.bucket is None else f"{place.backend} / {place.bucket or '(no bucket)'}"
        self.query_one(KeyPane).border_title = escape(printable(name))
        self.list_keys(Listing(place))

    def list_keys(self, listing: Listing) -> None:
        """Shows the keys of a listing, from its beginning."""
        self.listing = listing
        self.query_one(KeyPane).problem(None)
        self.query_one(KeyRows).show(listing)
        self.query_one(ValuePane).nothing()
        self.shown = self._reading = None
        self.load()

    def load(self) -> None:
        """Fetches the keys that are to be seen, and some more, unless that is under way."""
        if self._loader is None or self._loader.is_finished:
            self._loader = self.start(self._load, "load")

    async def _load(self) -> None:
        rows, pane = self.query_one(KeyRows), self.query_one(KeyPane)
        while (listing := self.listing) is not None:
            first, last = rows.seen
            far = SEARCHED_AHEAD if listing.query and listing.place.is_ordered else AHEAD
            step = listing.wanted(first, last + far)
            if step is None or listing.failed:
                break
            self.show_count(loading=True)
            answer = asyncio.ensure_future(
                self.calls.run(listing.place.backend, listing.fetch, self.list_page, step)
            )
            # A call that hangs must not keep what was chosen meanwhile from being loaded.
            while not answer.done() and listing is self.listing:
                await asyncio.wait([answer], timeout=0.05)
            try:
                page = answer.result() if answer.done() else None
            except FAILURES as error:
                if listing is not self.listing:
                    continue
                listing.failed = True
                pane.problem(f"{printable(one_line(str(error)))}\nPress r to try again.")
                pane.remark("")
                return
            if page is None or listing is not self.listing:
                answer.cancel()
                continue
            first, last = rows.seen
            listing.take(page, first, last)
            rows.show(listing)
            if self.shown is None:
                self.show_value()
        rows.clamp()
        self.show_count()
        self.show_value()

    def show_count(self, *, loading: bool = False) -> None:
        """How many keys there are, as far as that is known."""
        listing = self.listing
        if listing is None or self.query_one("#key-problem").display:
            return
        rows, looked = f"{listing.rows:,}", f"{listing.looked:,}"
        if not listing.place.is_ordered and self.query_one("#search", Input).value != listing.query:
            text = "enter: search, which reads the table from its beginning"
        elif listing.query:
            if listing.is_complete:
                text = f"{rows} found in {looked} keys"
            elif loading:
                text = f"searching… {rows} found, {looked} keys looked at"
            else:
                among = f" in {looked} keys" if listing.looked else ""
                text = f"{rows} found{among}; more below"
        elif listing.is_complete:
            text = f"{rows} key{'' if listing.rows == 1 else 's'}" if listing.rows else "no keys here"
        else:
            total = self.found[listing.place.backend].count(listing.place.bucket)
            known = "" if total is None else f" of {total:,}"
            # Elsewhere than in key order most of what is read may be of other buckets.
            read_so_far = f", {looked} looked at" if listing.looked > listing.rows else ""
            more = "…" if loading else "; more below" if total is None else ""
            text = f"{rows}{known or ' keys'} loaded{read_so_far}{more}"
        self.query_one(KeyPane).remark(text)

    def on_rows_seen(self, event: KeyRows.Seen) -> None:
        """Scrolling may need more keys."""
        if isinstance(event.rows, KeyRows):
            self.load()

    def on_rows_moved(self, event: KeyRows.Moved) -> None:
        """The key under the cursor is shown."""
        if isinstance(event.rows, KeyRows):
            self.load()
            self.show_value()

    # Search.

    def action_search(self) -> None:
        """To the field."""
        self.query_one("#search", Input).focus()

    def action_clear(self) -> None:
        """All keys again."""
        search = self.query_one("#search", Input)
        with search.prevent(Input.Changed):
            search.value = ""
        if self.listing is not None and self.listing.query:
            self.list_keys(Listing(self.place))
        self.query_one(KeyRows).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """As it is typed; where reading is billed, only with enter."""
        if event.input.id != "search":
            return
        if self.place.is_ordered:
            self.search(event.value)
        else:
            self.show_count()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """To what was found."""
        if event.input.id == "search":
            self.search(event.value)
            self.query_one(KeyRows).focus()

    def search(self, query: str) -> None:
        """Shows what has the text in it."""
        if self.listing is None or query != self.listing.query:
            self.list_keys(Listing(self.place, query))

    # The value.

    def show_value(self) -> None:
        """Reads what is under the cursor."""
        key = self.query_one(KeyRows).key()
        if key is None:
            if self.listing is not None and self.listing.rows == 0:
                self.shown = None
                self.query_one(ValuePane).nothing()
            return
        if key != self._reading and (self.shown is None or self.shown[0] != key):
            self._reading = key
            self.start(partial(self._show_value, key), "value", exclusive=True)

    async def _show_value(self, key: str) -> None:
        listing, place, pane = self.listing, self.place, self.query_one(ValuePane)
        await asyncio.sleep(REST)
        text, shown, problem = None, None, None
        try:
            text = await self.calls.run(place.backend, read, self.db, place.backend, key)
            # A large one takes a while.
            shown = await self.calls.run("pretty", pretty.show, text or "")
        except FAILURES as error:
            problem = printable(one_line(str(error)))
        if listing is not self.listing:
            return
        self._reading = None
        self.shown = (key, text)
        if problem:
            pane.nothing(f"{problem}\nPress r to try again.", bad=True)
        elif text is None or shown is None:
            pane.nothing(f"{printable(key)}\nIt was deleted meanwhile. Press r to list the keys again.")
        else:
            pane.show(place, key, text, shown)

    def action_copy(self) -> None:
        """The stored text, to the terminal's clipboard."""
        if self.shown is None or self.shown[1] is None:
            self.say("There is no value to copy.", bad=True)
        else:
            self._copy("value", self.shown[1])

    def action_copy_key(self) -> None:
        """The stored key, bucket included."""
        key = self.query_one(KeyRows).key()
        if key is None:
            self.say("There is no key to copy.", bad=True)
        else:
            self._copy("key", key)

    def _copy(self, what: str, text: str) -> None:
        if len(text) > MOST_COPIED:
            self.say(f"The {what} is too large for a clipboard. Use: tetherdb get", bad=True)
            return
        self.copy_to_clipboard(text)
        self.say(f"Copied the {what}, {len(text):,} characters, where the terminal allows it.")

    def say(self, text: str, *, bad: bool = False) -> None:
        """A remark that goes away by itself."""
        self.notify(printable(text), severity="warning" if bad else "information", markup=False, timeout=4)

    # Changes.

    def action_edit(self) -> None:
        """The value that is shown."""
        if self._may_change() and self.shown is not None and self.shown[1] is not None:
            self.start(partial(editing.edit, self, self.place.backend, *self.shown), "edit")

    def action_new(self) -> None:
        """A key in what is chosen."""
        if self._may_change():
            self.start(partial(editing.make, self, self.place), "edit")

    def action_delete(self) -> None:
        """The key whose value is shown."""
        if self._may_change() and self.shown is not None and self.shown[1] is not None:
            self.start(partial(editing.remove, self, self.place.backend, *self.shown), "edit")

    def _may_change(self) -> bool:
        if not self.write:
            self.say("Read-only. To change what is stored, start with: tetherdb browse --write", bad=True)
        return self.write

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that do nothing are not in the footer, but say why if pressed."""
        del parameters
        # Not over a question or an editor.
        return not (len(self.screen_stack) > 1 and action not in ("interrupt", "focus_next"))

    def changed(self, backend: str, key: str, by: int) -> None:
        """A key was written, made (1) or deleted (-1) from here."""
        self.found[backend].changed(key, by)
        self.show_places()
        self.shown = self._reading = None
        if self.listing is not None and by:
            rows = self.query_one(KeyRows)
            self.listing.forget_from(rows.cursor if by < 0 else 0)
            rows.set_count(self.listing.rows)
            self.load()
        else:
            self.show_value()

    # The rest.

    async def _watch_queues(self) -> None:
        pane = self.query_one(StatusPane)
        while True:
            began = time.monotonic()
            rows = queues.queue_rows(await self.calls.run("queues", self.db.stats))
            line = "none configured"
            if self._journal is not None:
                look = await self.calls.run("journal", self._journal.look)
                line = queues.journal_line(self._journal.path, look)
            pane.show(rows, line)
            # A large journal takes a while to read: most of the time it is not being read.
            await asyncio.sleep(max(LOOK_EVERY, 10 * (time.monotonic() - began)))

    def action_refresh(self) -> None:
        """Everything again that is shown; the scan only where it costs nothing, or was made before."""
        found = self.found[self.place.backend]
        if self.place.is_ordered and found.state != "scanning":
            self.scan(found)
        self.list_keys(Listing(self.place, self.listing.query if self.listing else ""))

    def action_help(self) -> None:
        """The keys."""
        self.push_screen(Help())

    def action_leave(self) -> None:
        """The end."""
        self.exit()

    def action_interrupt(self) -> None:
        """The end, too; but what was typed is not lost for it."""
        if isinstance(self.screen, Editor) and self.screen.is_changed:
            self.screen.action_leave()
        else:
            self.exit(return_code=Code.INTERRUPTED)

    def _fatal_error(self) -> None:
        """A bug: told in one line, as everywhere, once the terminal is as it was."""
        error = self._exception
        self.failure = error.error if isinstance(error, WorkerFailed) else error
        self._close_messages_no_wait()

    def get_system_commands(self, screen: Any) -> Any:
        """None: the keys are all there is."""
        del screen
        return iter(())
