"""The public face: every verb with its parameters, and what `help()` says of it."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import re
from typing import TYPE_CHECKING

import pytest

from TetherDB import DB, Receipt

if TYPE_CHECKING:
    from pathlib import Path

SIGNATURES = {
    "write_message": "(self, /, key, value, bucket='', backend='local', queue=False)",
    "write_queue_message": "(self, /, key, value, bucket='', backend='local', *, receipt=False)",
    "read_message": "(self, /, key, bucket='', backend='local', default=None)",
    "update_message": "(self, /, key, value, bucket='', backend='local')",
    "delete_message": "(self, /, key, bucket='', backend='local')",
    "write_messages": "(self, /, items, bucket='', backend='local')",
    "read_messages": "(self, /, keys, bucket='', backend='local')",
    "delete_messages": "(self, /, keys, bucket='', backend='local')",
    "list_messages": "(self, /, page_size=10, start_after=None, bucket='', backend='local')",
    "list_keys": "(self, /, page_size=10, start_after=None, bucket='', backend='local')",
    "iter_messages": "(self, /, bucket='', backend='local', page_size=1000)",
    "ping": "(self, /, backend='local')",
    "flush": "(self, /, timeout=None)",
    "stats": "(self, /)",
    "failed_messages": "(self, /, backend=None)",
    "retry_failed": "(self, /, backend=None)",
    "drop_failed": "(self, /, backend=None)",
    "start": "(self, /)",
    "stop": "(self, /, timeout=None)",
    "tether": "(self, /, bucket='', wait=True, backend='local', *, key=None, queue=None)",
    "mapping": "(self, /, bucket='', backend='local')",
}
RECEIPT_SIGNATURES = {"done": "(self, /)", "wait": "(self, /, timeout=None)", "exception": "(self, /)"}


def parameters(method: object) -> str:
    assert callable(method)
    # Whether `self` counts as positional only is a detail of extension modules.
    return str(inspect.signature(method)).replace("(self, /, ", "(self, ").replace("(self, /)", "(self)")


@pytest.mark.parametrize(("verb", "signature"), SIGNATURES.items())
def test_every_verb_has_the_parameters_and_defaults_of_the_table(verb: str, signature: str) -> None:
    wanted = signature.replace("(self, /, ", "(self, ").replace("(self, /)", "(self)")
    assert parameters(getattr(DB, verb)) == wanted


@pytest.mark.parametrize(("verb", "signature"), RECEIPT_SIGNATURES.items())
def test_a_receipt_has_the_methods_of_the_table(verb: str, signature: str) -> None:
    wanted = signature.replace("(self, /, ", "(self, ").replace("(self, /)", "(self)")
    assert parameters(getattr(Receipt, verb)) == wanted


def test_db_has_no_public_name_beside_the_verbs() -> None:
    assert {name for name in dir(DB) if not name.startswith("_")} == set(SIGNATURES)


def test_a_receipt_has_no_public_name_beside_its_methods() -> None:
    assert {name for name in dir(Receipt) if not name.startswith("_")} == set(RECEIPT_SIGNATURES)


def test_the_constructor_has_the_parameters_of_the_contract() -> None:
    assert str(inspect.signature(DB)) == "(config=None, config_file=None, *, on_error=None)"


@pytest.mark.parametrize("verb", SIGNATURES)
def test_every_verb_has_a_docstring_with_an_example(verb: str) -> None:
    text = inspect.getdoc(getattr(DB, verb))
    assert text is not None
    assert text[0].isupper()
    assert ">>> " in text


@pytest.mark.parametrize("verb", RECEIPT_SIGNATURES)
def test_every_method_of_a_receipt_has_a_docstring_with_an_example(verb: str) -> None:
    text = inspect.getdoc(getattr(Receipt, verb))
    assert text is not None
    assert ">>> " in text


def test_the_class_has_a_docstring_with_an_example() -> None:
    assert ">>> with DB(" in (inspect.getdoc(DB) or "")


@pytest.mark.parametrize("verb", [*SIGNATURES, "__class__"])
def test_the_example_of_every_docstring_is_right(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = str((DB if verb == "__class__" else getattr(DB, verb)).__doc__)
    db = DB({"local": {"filepath": "example", "synchronous": "off"}})
    example = doctest.DocTestParser().get_doctest(text, {"db": db}, verb, None, None)
    assert example.examples
    result = doctest.DocTestRunner(verbose=False).run(example)
    db.stop()
    assert result.failed == 0


def test_help_of_the_class_lists_every_verb() -> None:
    # Without white space, since newer Pythons break long signatures into lines.
    text = re.sub(r"[\s|]", "", pydoc.plain(pydoc.render_doc(DB)))
    for verb, signature in SIGNATURES.items():
        assert re.sub(r"\s", "", f"{verb}{signature}") in text.replace("(self)", "(self,/)"), verb


def test_classes_show_the_public_name_of_their_module() -> None:
    assert (DB.__module__, DB.__qualname__) == ("TetherDB", "DB")
    assert (Receipt.__module__, Receipt.__qualname__) == ("TetherDB", "Receipt")
