"""The layers of the library, what breaks their rules, and a picture of them in text."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from helpers.imports import LIBRARY, ROOT, Arrow, all_arrows, arrows, modules

LAYERS = (
    ("errors", "atomic", "registry", "devices", "environment", "provenance", "processes", "checks", "grades", "modes"),
    ("data", "models", "losses", "metrics"),
    ("explain", "pseudo_labels", "settings", "short_training", "viz"),
    ("recipes",),
    ("image_verdicts", "protocols", "tasks"),
    ("experiment", "checkpoints", "weights", "records", "published"),
    ("callbacks", "run"),
    ("run_table", "prediction", "cli_data"),
    ("cli",),
)
"""Lowest first: a module imports from its own layer and from those below it."""

STRANGERS = ("data", "models", "losses", "metrics")
"""Packages of one layer that know nothing of each other."""


def _papers() -> tuple[str, ...]:
    tree = ast.parse((ROOT / LIBRARY / "published/printed.py").read_text("utf-8"))
    given = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return tuple(ast.literal_eval(given["PAPERS"]))


PRINTED = _papers()
"""The papers whose tables are in the library."""

REGISTRIES = ("recipes", "models", "models.registry", "losses", "losses.registry", "published.printed")
"""Modules that may name a paper: they say what there is."""

ALLOWED: dict[tuple[str, str], str] = {}
"""(importing module, imported module) → why its import within a function may run up."""


def unit(module: str) -> str:
    """The package or module right below `fundus_lib` that a module belongs to."""
    return module.partition(".")[0]


def layer(module: str) -> int:
    """Index of a module's layer, -1 if it has none."""
    return next((k for k, names in enumerate(LAYERS) if unit(module) in names), -1)


def upward(root: Path = ROOT) -> list[Arrow]:
    """Imports that run up, or across between packages that know nothing of each other; those for types aside."""
    return [
        arrow
        for arrow in arrows(root)
        if arrow.kind != "typing"
        and (
            layer(arrow.target) > layer(arrow.source)
            or (unit(arrow.source) != unit(arrow.target) and {unit(arrow.source), unit(arrow.target)} <= {*STRANGERS})
        )
        and not (arrow.kind == "lazy" and (arrow.source, arrow.target) in ALLOWED)
    ]


def circles(edges: set[tuple[str, str]]) -> list[tuple[str, ...]]:
    """The strongly connected components of more than one node, by Tarjan; each sorted."""
    after: dict[str, list[str]] = {}
    for a, b in sorted(edges):
        after.setdefault(a, []).append(b)
    order, low, stack, found = dict[str, int](), dict[str, int](), list[str](), list[tuple[str, ...]]()

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in after.get(node, ()):
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            members = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(members) > 1:
                found.append(tuple(sorted(members)))

    for node in list(after):
        if node not in order:
            visit(node)
    return found


def circles_of_modules(root: Path = ROOT) -> list[tuple[str, ...]]:
    """Circles between modules, imports within functions included; those for types and the names in a registry aside.

    `create_model` finds a class by its name, and `DualBranch` its base by `create_model`.
    """
    return circles({(a.source, a.target) for a in arrows(root) if a.kind != "typing" and a.source != "models.registry"})


def circles_of_packages(root: Path = ROOT) -> list[tuple[str, ...]]:
    """Circles between what stands right below `fundus_lib`."""
    return circles({(unit(a.source), unit(a.target)) for a in arrows(root) if a.kind != "typing"})


def impure_recipes(root: Path = ROOT) -> list[Arrow]:
    """What recipes import that is no plain data, not even for a type: PyTorch, data, tasks, or anything above them."""
    heavy = {":torch", ":torchvision", ":lightning", ":kornia"}
    return [
        arrow
        for arrow in all_arrows(root)
        if unit(arrow.source) == "recipes"
        and (
            arrow.target.partition(".")[0] in heavy
            or unit(arrow.target) == "data"
            or layer(arrow.target) > layer("recipes")
        )
    ]


def bound_protocols(root: Path = ROOT) -> list[Arrow]:
    """What protocols import of tasks, but for `tasks.base.FundusTask`."""
    return [
        arrow
        for arrow in arrows(root)
        if unit(arrow.source) == "protocols"
        and unit(arrow.target) == "tasks"
        and (arrow.target, arrow.name) != ("tasks.base", "FundusTask")
    ]


def owner(module: str) -> str | None:
    """The paper that a module is about by its name."""
    last = module.rpartition(".")[2]
    return next((paper for paper in PRINTED if re.match(rf"{paper}(_|$)", last)), None)


def mentions(root: Path = ROOT) -> list[str]:
    """Where a module that is no paper's own imports from one, or compares with a paper's name."""
    found = []
    for arrow in arrows(root):
        named = owner(arrow.target)
        if named and named != owner(arrow.source) and arrow.name != "*" and arrow.source not in REGISTRIES:
            found.append(str(arrow))
    for name, file in modules(root).items():
        if name not in REGISTRIES:
            found += [
                f"{name}:{line} compares with {paper!r}" for line, paper in _compared(file) if owner(name) != paper
            ]
    return found


def _compared(file: Path) -> Iterator[tuple[int, str]]:
    """Line and name of each paper that a file compares with, looks for in a collection, or matches."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Compare | ast.MatchValue):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and part.value in PRINTED:
                    yield part.lineno, str(part.value)


def missing_files(papers: tuple[str, ...], root: Path = ROOT) -> list[str]:
    """Files that a paper with recipes, or one of those with printed tables, should have and has not."""
    library = root / LIBRARY
    wanted = [f"recipes/{paper}.py" for paper in papers]
    wanted += [f"tasks/{paper}.py" for paper in papers if paper in PRINTED]
    wanted += [f"published/{paper}_ledger.json" for paper in papers if paper in PRINTED]
    wanted += [f"published/{paper}_{end}" for paper in PRINTED for end in ("claims.py", "tables.json", "1.csv")]
    return [file for file in wanted if not (library / file).is_file()]


def draw(root: Path = ROOT) -> str:
    """The layers as text, the highest first, with the imports between packages and all that breaks a rule."""
    files, found = modules(root), arrows(root)
    sizes = Counter(map(unit, files))
    between = Counter((unit(a.source), unit(a.target)) for a in found if a.kind != "typing")
    wrong = {(unit(a.source), unit(a.target)) for a in upward(root)}
    lines = []
    for names in reversed(LAYERS):
        present = [name for name in names if sizes[name]]
        if not present:
            continue
        lines.append("── " + " · ".join(present) + " " + "─" * 20)
        for name in present:
            to = [(target, n) for (source, target), n in sorted(between.items()) if source == name != target]
            text = ", ".join(f"{'↑ ' if (name, target) in wrong else ''}{target} {n}" for target, n in to)
            lines.append(f"   {name} ({sizes[name]} files) → {text or 'nothing'}")
    kinds = Counter(a.kind for a in found)
    typed = sum(a.kind == "typing" and layer(a.target) > layer(a.source) for a in found)
    lines.append(
        f"{len(files)} modules; imports: {kinds['top']} top, {kinds['lazy']} lazy, {kinds['typing']} for types"
    )
    lines.append(f"for types alone, up: {typed}")
    for title, these in (
        ("no layer", sorted({unit(name) for name in files if layer(name) < 0})),
        ("circles of modules", [" ⇄ ".join(c) for c in circles_of_modules(root)]),
        ("circles of packages", [" ⇄ ".join(c) for c in circles_of_packages(root)]),
        ("upward", upward(root)),
        ("recipes not pure", impure_recipes(root)),
        ("protocols bound to a task", bound_protocols(root)),
        ("speak of a paper", mentions(root)),
    ):
        lines += [f"{title}: {len(these)}", *(f"   {one}" for one in these)]
    return "\n".join(lines)
