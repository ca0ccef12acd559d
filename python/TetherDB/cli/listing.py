"""`list`: the keys of a bucket, with or without their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from TetherDB._tetherdb import records
from TetherDB.cli import output, pages
from TetherDB.cli.failing import Code
from TetherDB.cli.given import KEY
from TetherDB.cli.settings import Settings, options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from TetherDB._tetherdb import Records

# Records, with their texts or None.
_Page = list[tuple[str, str | None]]
# Characters of a value in a table.
SHOWN = 200


@click.command("list")
@click.option("--values", "has_values", is_flag=True, help="The values, too.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many records.")
@click.option("--start-after", type=KEY, metavar="KEY", help="Begin behind this key.")
@click.option("--prefix", type=KEY, metavar="TEXT", help="Only keys that begin with this.")
@options()
def list_command(
    settings: Settings, has_values: bool, limit: int | None, start_after: str | None, prefix: str | None
) -> Code:
    """List keys, in key order (DynamoDB: in none).

    One a line; with --values key, tab, value. What would break a line is escaped;
    --json gives keys and values to the letter.
    """
    with settings.open() as db:
        found = records(db, settings.bucket, settings.backend)
        if settings.backend == "local" and not settings.quiet and not settings.local_file.exists():
            output.note(f"the file {settings.local_file} does not exist: nothing has been written to it yet")
        has_head = True
        for page in _limited(_pages(found, has_values, start_after, prefix, limit), limit):
            _print(settings, page, has_values, has_head)
            has_head = False
    return Code.DONE


def _pages(
    found: Records, has_values: bool, start_after: str | None, prefix: str | None, limit: int | None
) -> Iterator[_Page]:
    """Pages of records; with a prefix, only what begins with it."""
    if prefix is None:
        yield from _all_pages(found, has_values, start_after, limit)
        return
    is_ordered = found.backend != "dynamodb"
    if is_ordered and (start_after is None or start_after < prefix):
        # Whatever begins with the prefix comes behind it, except for itself.
        [text] = found.read_texts([prefix])
        if text is not None:
            yield [(prefix, text)]
        start_after = prefix
    for page in _all_pages(found, has_values, start_after, limit if is_ordered else None):
        yield [(key, text) for key, text in page if key.startswith(prefix)]
        if is_ordered and not page[-1][0].startswith(prefix):
            return


def _all_pages(
    found: Records, has_values: bool, start_after: str | None, most: int | None
) -> Iterator[_Page]:
    if has_values:
        for texts in pages.of_texts(found, start_after, most):
            yield list(texts)
    else:
        for keys in pages.of_keys(found, start_after, most):
            yield [(key, None) for key in keys]


def _limited(pages: Iterator[_Page], limit: int | None) -> Iterator[_Page]:
    left = limit
    for page in pages:
        yield page if left is None else page[:left]
        if left is not None:
            left -= len(page)
            if left <= 0:
                return


def _print(settings: Settings, page: _Page, has_values: bool, has_head: bool) -> None:
    if settings.json:
        for key, text in page:
            output.as_json({"key": key, "value": output.value(text or "")} if has_values else {"key": key})
    elif not has_values:
        for key, _ in page:
            output.line(output.printable(key))
    elif output.is_terminal():
        _draw(page, has_head)
    else:
        for key, text in page:
            output.line(f"{output.printable(key)}\t{output.printable(text or '')}")


def _draw(page: Sequence[tuple[str, str | None]], has_head: bool) -> None:
    """A table of one page: all records need not fit into memory."""
    from rich.table import Table
    from rich.text import Text

    console = output.console()
    rows = [(Text(output.printable(key)), Text(output.printable((text or "")[:SHOWN]))) for key, text in page]
    # Keys have what they need, up to half of the line.
    width = min(max((key.cell_len for key, _ in rows), default=0), console.width // 2)
    table = Table(box=None, pad_edge=False, show_header=has_head, header_style="bold")
    width = max(width, len("key"))
    table.add_column("key", no_wrap=True, overflow="ellipsis", min_width=width, max_width=width)
    rest = max(console.width - width - 2, len("value"))
    table.add_column("value", no_wrap=True, overflow="ellipsis", max_width=rest)
    for row in rows:
        table.add_row(*row)
    output.draw(console, table, soft_wrap=False)
