"""What the library imports of itself: every arrow between two modules, read with `ast`."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "fundus_lib"


class Arrow(NamedTuple):
    """One import.

    Attributes:
        source: Importing module, without `fundus_lib.`.
        target: Imported module, likewise; of another library its full name, with a colon in front.
        kind: `top` of the module, `lazy` within a function or by name, or `typing` alone.
        line: Where.
        name: What is imported from the target; empty for the module itself, `*` if it is one
            of several that may be meant.
    """

    source: str
    target: str
    kind: str
    line: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.target}" + (f" ({self.kind})" if self.kind != "top" else "")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the library but its bare `__init__`, without `fundus_lib.`, and its file."""
    files = sorted((root / LIBRARY).rglob("*.py"))
    parts = {file: file.relative_to(root / LIBRARY).with_suffix("").parts for file in files}
    named = {".".join(p[:-1] if p[-1] == "__init__" else p): file for file, p in parts.items()}
    return {name: file for name, file in named.items() if name}


class _Imports(ast.NodeVisitor):
    """Collects the imports of one module."""

    def __init__(self, source: str, package: str, known: frozenset[str]):
        self.source, self.package, self.known = source, package, known
        self.kinds, self.found = ["top"], list[Arrow]()

    def _add(self, full: str, line: int, kind: str, name: str = "") -> None:
        if full != LIBRARY and not full.startswith(f"{LIBRARY}."):
            self.found.append(Arrow(self.source, f":{full}", kind, line, name))
            return
        inner = f"{full}.{name}".removeprefix(f"{LIBRARY}.").removeprefix(LIBRARY).rstrip(".")
        while inner and inner not in self.known:
            inner = inner.rpartition(".")[0]
        if inner and inner != self.source:
            self.found.append(Arrow(self.source, inner, kind, line, name))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno, self.kinds[-1])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            base = ".".join([*above, *([base] if base else [])])
        for alias in node.names:
            self._add(base, node.lineno, self.kinds[-1], alias.name)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)
            return
        self._within("typing", node.body)
        self._within(self.kinds[-1], node.orelse)

    def _within(self, kind: str, nodes: list[ast.stmt]) -> None:
        self.kinds.append(kind)
        for node in nodes:
            self.visit(node)
        self.kinds.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in (*node.decorator_list, *node.args.defaults):
            self.visit(default)
        self._within("lazy", node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Call(self, node: ast.Call) -> None:
        """`import_module` with a name, or with an f-string: every module that may be meant."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "import_module" and node.args:
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            pattern = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
            if pattern.startswith(f"{LIBRARY}."):
                for name in sorted(self.known):
                    full = f"{LIBRARY}.{name}"
                    if fnmatchcase(full, pattern) and full.count(".") == pattern.count("."):
                        self._add(full, node.lineno, "lazy", "*" if "*" in pattern else "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Registries name a class as `module:class`."""
        if isinstance(node.value, str) and re.fullmatch(rf"{LIBRARY}\.[\w.]+:\w+", node.value):
            self._add(node.value.partition(":")[0], node.lineno, "lazy")


@cache
def all_arrows(root: Path) -> tuple[Arrow, ...]:
    known, found = modules(root), list[Arrow]()
    for name, file in known.items():
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        imports = _Imports(name, f"{LIBRARY}.{package}".rstrip("."), frozenset(known))
        imports.visit(ast.parse(file.read_text("utf-8")))
        found += imports.found
    return tuple(found)


def arrows(root: Path = ROOT) -> list[Arrow]:
    """Every import between modules of the library."""
    return [arrow for arrow in all_arrows(root) if not arrow.target.startswith(":")]
