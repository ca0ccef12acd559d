"""The reference: signatures and docstrings, read from the stubs and sources of the package.

A page asks for what it shows::

    ```{stub} TetherDB._tetherdb
    :names: DB Receipt
    ```

Nothing is imported, so the site needs no built module. Overloads stand one below the other. The docstrings
are plain text with ``>>>`` dialogues, and with ``name: meaning`` where they speak of an argument.
"""

from __future__ import annotations

import ast
import copy
import functools
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from docutils import nodes
    from sphinx.application import Sphinx

PACKAGES = Path(__file__).resolve().parents[2] / "python"

# What a class does for Python itself and no reader calls.
HIDDEN = {"__init__", "__new__", "__repr__", "__reduce__", "__slots__", "__class_getitem__"}

# Names for type checkers alone: nobody can import them. What a reader finds instead.
RENAMED = {
    ("TetherDB._async_db", "_Tether"): "TetherDB.AsyncTether",
    ("TetherDB._mapping", "_HasKeys"): "SupportsKeysAndGetItem",
    ("TetherDB.opentelemetry", "_Wrapper"): "TetherDB.AsyncDB",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_of(module: str) -> Path:
    """The file with a module's signatures: the stub, if there is one."""
    path = PACKAGES.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".pyi"), path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"the module {module} has neither a stub nor a source in {PACKAGES}")


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those for type checkers alone included."""
    for statement in body:
        if isinstance(statement, ast.If) and isinstance(statement.test, ast.Name):
            yield from statements(statement.body)
        else:
            yield statement


class Names(ast.NodeTransformer):
    """Names in annotations, as a reader finds them: whole paths, aliases written out."""

    def __init__(self, module: str, body: list[ast.stmt]) -> None:
        """Look at what the module imports and defines."""
        self.paths: dict[str, str] = {}
        self.aliases: dict[str, ast.expr] = {}
        for statement in body:
            if isinstance(statement, ast.ImportFrom) and statement.module:
                for imported in statement.names:
                    self.paths[imported.name] = public(statement.module, imported.name)
            elif isinstance(statement, ast.ClassDef):
                self.paths[statement.name] = public(module, statement.name)
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                self.paths[statement.target.id] = public(module, statement.target.id)
            elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                name = statement.targets[0].id
                if name.startswith("_") and isinstance(statement.value, (ast.BinOp, ast.Subscript)):
                    self.aliases[name] = statement.value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """One name."""
        if node.id in self.aliases:
            written_out: ast.expr = self.visit(copy.deepcopy(self.aliases[node.id]))
            return written_out
        return ast.Name(self.paths.get(node.id) or node.id.lstrip("_") or node.id)

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """An annotation in quotes."""
        if isinstance(node.value, str):
            inner: ast.expr = self.visit(ast.parse(node.value, mode="eval").body)
            return inner
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        """``Literal["a"]`` holds values, not annotations."""
        if not (isinstance(node.value, ast.Name) and node.value.id == "Literal"):
            self.generic_visit(node)
        return node

    def text(self, annotation: ast.expr | None) -> str:
        """An annotation as text; nothing for none."""
        return ast.unparse(self.visit(copy.deepcopy(annotation))) if annotation is not None else ""


def public(module: str, name: str) -> str:
    """Where a reader imports it from: private modules are parts of the package."""
    if not module.startswith(("TetherDB", "pytest_tetherdb")):
        return name
    path = [part for part in module.split(".") if not part.startswith("_")]
    return RENAMED.get((module, name)) or ".".join([*path, name.lstrip("_")])


class Reference:
    """Writes reStructuredText for the things of one module."""

    def __init__(self, module: str) -> None:
        """Read its source."""
        self.source = module
        self.path = source_of(module)
        tree = ast.parse(self.path.read_text(encoding="utf-8"))
        self.body = list(statements(tree.body))
        self.module = public(module, "").rstrip(".")
        self.names = Names(module, self.body)
        self.lines: list[str] = []

    def write(self, name: str, constructor: bool) -> None:
        """Write the entry of one name."""
        for place, statement in enumerate(self.body):
            if isinstance(statement, ast.ClassDef) and statement.name == name:
                return self._class(statement, constructor)
            if isinstance(statement, Function) and statement.name == name:
                return self._functions([statement], "function", "")
            target = statement.target if isinstance(statement, ast.AnnAssign) else None
            if isinstance(statement, ast.AnnAssign) and isinstance(target, ast.Name) and target.id == name:
                self._add(f".. py:type:: {name}", "", f":canonical: {self.names.text(statement.value)}")
                following = self.body[place + 1] if place + 1 < len(self.body) else None
                return self._text(docstring_of([following] if following else []), [])
        raise LookupError(f"{self.path} has no {name}")

    def _add(self, directive: str, indent: str, *options: str) -> None:
        self.lines += ["", indent + directive, *(f"{indent}   {option}" for option in options), ""]

    def _class(self, statement: ast.ClassDef, constructor: bool) -> None:
        bases = [self.names.text(base) for base in statement.bases]
        is_dict = "TypedDict" in bases or bases == ["Named"]
        kind = "exception" if is_exception(statement) else "class"
        members = grouped(statement.body)
        makers = members.get("__new__") or members.get("__init__") or []
        shown = public(self.source, statement.name).rpartition(".")[2]
        arguments = self._arguments(makers[0], drop=1) if makers and constructor else ""
        self._add(f".. py:{kind}:: {shown}{arguments}", "")
        if kind == "exception":
            ancestors = ", ".join(f":py:exc:`{base}`" for base in bases)
            self.lines += ["", f"   Bases: {ancestors}", ""]
        elif is_dict:
            self.lines += ["", "   A ``TypedDict``.", ""]
        self._text(docstring_of(statement.body), parameters(makers), "   ")
        for member in statement.body:
            if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                self._add(
                    f".. py:attribute:: {member.target.id}",
                    "   ",
                    f":type: {self.names.text(member.annotation)}",
                )
        if kind == "exception":
            for name, annotation in set_in(makers):
                self._add(f".. py:attribute:: {name}", "   ", f":type: {self.names.text(annotation)}")
        for name, functions in members.items():
            if name not in HIDDEN and (not name.startswith("_") or name.startswith("__")):
                self._functions(functions, "method", "   ")

    def _functions(self, functions: list[Function], kind: str, indent: str) -> None:
        if any("fixture" in ast.unparse(decorator) for decorator in functions[0].decorator_list):
            given = self.names.text(functions[0].returns)
            given = re.sub(r"^Iterator\[(.*)\]$", r"\1", given)
            self._add(f".. py:data:: {functions[0].name}", indent, f":type: {given}")
            return self._text(ast.get_docstring(functions[0]), [], indent + "   ")
        overloads = [function for function in functions if has(function, "overload")]
        signatures: list[str] = []
        for function in overloads or functions:
            drop = 1 if kind == "method" and not has(function, "staticmethod") else 0
            returns = self.names.text(function.returns)
            arrow = f" -> {returns}" if returns else ""
            signatures.append(f"{function.name}{self._arguments(function, drop)}{arrow}")
        if has(functions[0], "property"):
            self._add(f".. py:property:: {functions[0].name}", indent)
        else:
            first, *others = signatures
            head = f".. py:{kind}:: "
            options = [":async:"] if isinstance(functions[0], ast.AsyncFunctionDef) else []
            self._add(head + first, indent, *(" " * (len(head) - 3) + other for other in others), *options)
        said = next(filter(None, map(ast.get_docstring, functions)), None)
        return self._text(said, parameters(functions), indent + "   ")

    def _arguments(self, function: Function, drop: int) -> str:
        arguments = copy.deepcopy(function.args)
        positional = arguments.posonlyargs or arguments.args
        del positional[:drop]
        everyone = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in filter(None, [*everyone, arguments.vararg, arguments.kwarg]):
            argument.arg = argument.arg.lstrip("_")
            if argument.annotation is not None:
                argument.annotation = self.names.visit(argument.annotation)
        return f"({ast.unparse(arguments)})"

    def _text(self, docstring: str | None, known: list[str], indent: str = "   ") -> None:
        for paragraph in re.split(r"\n\s*\n", docstring or ""):
            if paragraph.lstrip().startswith(">>>"):
                code = re.sub(r" +# doctest: .*$", "", textwrap.dedent(paragraph), flags=re.MULTILINE)
                block = [".. code-block:: pycon", "", *textwrap.indent(code, "   ").splitlines()]
            else:
                block = prose(paragraph, known)
            self.lines += ["", *(f"{indent}{line}" for line in block), ""]


def prose(paragraph: str, known: list[str]) -> list[str]:
    """A paragraph of plain text as reStructuredText; what is said of an argument is an entry of a list."""
    parts = re.split(r"(``[^`]*``|:\w+:`[^`]*`|`[^`]*`)", paragraph)
    text = "".join(map(marked_up, parts))
    names = "|".join(map(re.escape, known)) or "(?!)"
    one = re.compile(rf"(^|(?<=\. )|(?<=\.\n))((?:{names})(?:, (?:{names}))*): ")
    if not one.match(text):
        return text.splitlines()
    lines: list[str] = []
    for part in re.split(rf"(?:^|(?<=\.)\s+)(?=(?:{names})(?:, (?:{names}))*: )", text):
        if part:
            name, _, rest = part.partition(": ")
            lines.append(f"- **{name}**: " + " ".join(rest.split()))
    return lines


def marked_up(part: str) -> str:
    """What stands in backticks, or between them, with links to exceptions and verbs."""
    if verb := re.fullmatch(r"``(DB\.\w+)``", part):
        return f":py:meth:`{verb[1]} <TetherDB.{verb[1]}>`"
    if part.startswith(":") and part.endswith("`"):
        return part
    if part.startswith("`"):
        return f"``{part.strip('`')}``"
    part = re.sub(r"([*|\\])", r"\\\1", part)
    # Keys of the configuration, and verbs. With a colon behind it, it is an argument: prose() looks at it.
    part = re.sub(r"(?<![\w.=*])([a-z]+(?:[._][a-z]+)*_[a-z]+(?:\.[a-z]+)*)(?![\w:(=])", r"``\1``", part)
    return re.sub(rf"\b({'|'.join(exception_names())})\b", r":py:exc:`\1 <TetherDB.\1>`", part)


@functools.cache
def exception_names() -> list[str]:
    """What the package raises."""
    tree = ast.parse(source_of("TetherDB._exceptions").read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def docstring_of(body: list[ast.stmt]) -> str | None:
    """The text that stands first."""
    return ast.get_docstring(ast.Module(body=body, type_ignores=[])) if body else None


def grouped(body: list[ast.stmt]) -> dict[str, list[Function]]:
    """The functions of a class, overloads together."""
    functions: dict[str, list[Function]] = {}
    for member in body:
        if isinstance(member, Function):
            functions.setdefault(member.name, []).append(member)
    return functions


def has(function: Function, decorator: str) -> bool:
    """Whether a function has this decorator."""
    return any(isinstance(given, ast.Name) and given.id == decorator for given in function.decorator_list)


def parameters(functions: list[Function]) -> list[str]:
    """The names of all parameters."""
    names = {
        argument.arg
        for function in functions
        for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    }
    return sorted(names - {"self", "cls"}, key=len, reverse=True)


def set_in(makers: list[Function]) -> Iterator[tuple[str, ast.expr | None]]:
    """The public attributes that a constructor sets, with their types."""
    for maker in makers:
        types = {argument.arg: argument.annotation for argument in maker.args.args}
        for statement in ast.walk(maker):
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            target = statement.target if isinstance(statement, ast.AnnAssign) else target
            if isinstance(target, ast.Attribute) and not target.attr.startswith("_"):
                annotated = statement.annotation if isinstance(statement, ast.AnnAssign) else None
                yield target.attr, annotated or types.get(target.attr)


def is_exception(statement: ast.ClassDef) -> bool:
    """Whether a class of the package is one; they all stand in one file."""
    return any(ast.unparse(base).endswith(("Error", "Exception")) for base in statement.bases)


class Stub(SphinxDirective):
    """``{stub} MODULE``, with the names to show, and whether to show how they are made."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Callable[[str], Any]] | None] = {
        "names": directives.unchanged_required,
        "no-constructor": directives.flag,
    }

    def run(self) -> list[nodes.Node]:
        """The entries, as nodes."""
        reference = Reference(self.arguments[0])
        self.env.note_dependency(str(reference.path))
        self.env.note_dependency(__file__)
        for name in self.options["names"].split():
            reference.write(name, constructor="no-constructor" not in self.options)
        lines = ["````{eval-rst}", f".. py:currentmodule:: {reference.module}", *reference.lines, "````"]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("stub", Stub)
    return {"version": "1", "parallel_read_safe": True}
