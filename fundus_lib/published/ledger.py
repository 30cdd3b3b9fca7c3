"""The ledger: every published row, and what became of it here.

Which recipe is the counterpart of which row, and how the two differ, is data: `PAPER_ledger.json` beside this file. It
holds, for the papers that we have recipes for,

- `metrics`: column of the published tables → metric of our records;
- `as_published`: settings in which even our recipe is not as published, with the value in the paper or its code (null:
  not set), for all recipes (`*`), for those on one data set, or for one recipe;
- `phrases`: how a setting that differs is put into words; `{ours}` and `{theirs}` are the two values; `setting=value`
  where ours has its own words;
- `only_with`: settings that mean something only where other ones have these values;
- `rows`: table → row → `recipe`, its counterpart, or a list of one for each lesion; `changed`, the same with a known
  change, such as another start; `nearest`, the nearest that was run at another scale, which is never shown as the row
  itself; or `measured`, where the row is no run but a statistic of the data. Recipes are named `TABLE/ROW`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fundus_lib import records
from fundus_lib.published.printed import TableInfo, info, table, tables
from fundus_lib.records.rows import experiment, one_per_seed

if TYPE_CHECKING:
    import pandas as pd

RUN, MEASURED = "run", "measured on the data"
NOT_RUN, NO_DATA, QUOTED = "not run yet", "data set not at hand", "quoted row"
STATES = (RUN, MEASURED, NOT_RUN, NO_DATA, QUOTED)
"""What can have become of a published row. `NO_DATA`: no record of ours was made on the data set that it needs."""

_DATASETS = ("IDRiD", "DDR", "DiaRetDB1")

_NOT_COMPARED = ("paper", "table", "row", "seed", "kind", "fold", "precision", "pretraining_optimizer")
"""Settings that are names, or that papers do not have; folds and mixed precision have phrases of their own."""


@dataclass(frozen=True)
class Counterparts:
    """What `PAPER_ledger.json` says; empty for a paper without recipes."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    as_published: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)
    only_with: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def of(self, number: int, row: str) -> Mapping[str, Any]:
        """The entry of a row, or an empty one."""
        return self.rows.get(str(number), {}).get(row, {})


def recipe_names(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """The counterparts of a row, `TABLE/ROW` each: none, one, or one for each lesion."""
    named = entry.get("recipe", ())
    return (named,) if isinstance(named, str) else tuple(named)


@cache
def counterparts(paper: str) -> Counterparts:
    """The recipes that are the counterparts of a paper's rows."""
    file = resources.files("fundus_lib.published") / f"{paper}_ledger.json"
    return Counterparts(**json.loads(file.read_text("utf-8"))) if file.is_file() else Counterparts()


def ledger(paper: str, *folders: str | Path, nearest: bool = False) -> pd.DataFrame:
    """Every published row of a paper, with ours or the reason why there is none.

    Args:
        paper: One of :data:`~fundus_lib.published.printed.PAPERS`.
        *folders: Folders of records besides those of the library.
        nearest: Give the nearest runs in place of the counterparts: other networks or sizes, for comparisons among
            themselves. Rows without one are left out.

    Returns:
        One line for each row; several where it was run in several ways, the nearest to the published one first. The
        columns are table, row, data, quoted_from, status (one of `STATES`), recipe (`TABLE/ROW`), seeds (how many),
        device, uncommitted (whether one of the runs was made with changes that no commit has), deviations (from the
        published set-up, separated by semicolons; computed by comparing recipes), and for each printed column the
        published number under its name and ours as `…_ours`, `…_low`, `…_high`: mean, least and greatest over the
        seeds, in the paper's unit.

    Raises:
        UnknownNameError: There is no such paper.
        RecordError: A folder does not exist, or a record is damaged.
    """
    import pandas as pd

    info(paper, 1)  # refuses an unknown paper
    known = [printed for printed in tables() if printed.paper == paper]
    runs = records.load(*folders)
    groups, had = list(_groups(runs[runs.paper == paper])), set(runs.dataset)
    lines: list[dict[str, Any]] = []
    for printed in known:
        for row, numbers in table(paper, printed.number).iterrows():
            published = {column: numbers[column] for column in printed.headings}
            line = {"table": printed.number, "row": str(row), "data": _data(printed, str(row)), **published}
            line |= {"quoted_from": numbers["quoted_from"], "recipe": "", "seeds": 0, "device": "", "deviations": ""}
            line["uncommitted"] = False
            entry = counterparts(paper).of(printed.number, str(row))
            found = list(_found(paper, printed, entry, groups, nearest))
            lines += [line | more for more in sorted(found, key=lambda more: len(more["deviations"].split("; ")))]
            if not found and not nearest:
                lines.append(line | {"status": _state(line, entry, had), "recipe": ", ".join(recipe_names(entry))})
    columns = dict.fromkeys(column for printed in known for column in printed.headings)
    names = ["table", "row", "data", "quoted_from", "status", "recipe", "seeds", "device", "uncommitted", "deviations"]
    names += [f"{column}{end}" for column in columns for end in ("", "_ours", "_low", "_high")]
    return pd.DataFrame(lines, columns=names)


@dataclass(frozen=True)
class _Group:
    """Runs that differ in their seed and their fold alone."""

    name: str
    runs: tuple[Mapping[str, Any], ...]

    def describe_folds(self) -> list[str]:
        """Which folds there are, in words; nothing if the runs have no folds, or each seed all of them."""
        found = [(run["seed"], records.get_recipe(run).fold) for run in self.runs]
        folds = {fold for _, fold in found if fold is not None}
        if not folds:
            return []
        ((_, count), *_) = folds
        if len(folds) == count and len(found) == count * len({seed for seed, _ in found}):
            return []
        return [f"fold {', '.join(str(k) for k, _ in sorted(folds))} of {count}"]


def _groups(runs: pd.DataFrame) -> Iterator[_Group]:
    together: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for file in one_per_seed(runs).sort_index().file:
        record = records.read(Path(file))
        recipe = records.get_recipe(record).replace(seed=0)
        whole = recipe.replace(fold=(1, recipe.fold[1])) if recipe.fold else recipe
        together.setdefault((whole, record["dataset"], *experiment(record)[1:]), []).append(record)
    for (recipe, *_), group in together.items():
        yield _Group(f"{recipe.table}/{recipe.row}", tuple(group))


def _data(printed: TableInfo, row: str) -> str:
    """The data sets that a row needs, separated by commas."""
    named = [name for name in _DATASETS if name in row] or [name for name in _DATASETS if name in printed.data]
    return ", ".join(named)


def _state(line: Mapping[str, Any], entry: Mapping[str, Any], had: set[str]) -> str:
    if line["quoted_from"] and not entry:
        return QUOTED
    return NOT_RUN if set(line["data"].split(", ")) <= had else NO_DATA


def _found(
    paper: str, printed: TableInfo, entry: Mapping[str, Any], groups: list[_Group], nearest: bool
) -> Iterator[dict[str, Any]]:
    """What was run for a row, one line for each group of runs."""
    if not nearest and "measured" in entry:
        yield _measured(entry["measured"])
    wanted = entry.get("nearest", ()) if nearest else (*recipe_names(entry), *entry.get("changed", ()))
    for group in groups:
        if group.name in wanted:
            known = counterparts(paper).metrics  # deviations over runs are no metric of a run
            metrics = {column: known[column] for column in printed.headings if column in known}
            yield {
                "status": RUN,
                "recipe": group.name,
                "seeds": len({run["seed"] for run in group.runs}),
                "device": " or ".join(sorted({run["device"] for run in group.runs})),
                "uncommitted": any(run.get("dirty") for run in group.runs),
                "deviations": "; ".join(_deviations(paper, entry, group)),
                **_summary(metrics, group.runs, float(printed.scale)),
            }


def _deviations(paper: str, entry: Mapping[str, Any], group: _Group) -> list[str]:
    """Those of a group of runs: of the first of them, and which folds there are."""
    record = group.runs[0]
    recipe = {**record["recipe"], "fold": None}
    said = deviations(paper, _counterpart(paper, entry, record), {**record, "recipe": recipe})
    return [*said, *group.describe_folds()]


def _counterpart(paper: str, entry: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """The counterpart that a run is compared with: of several, the one of its lesions."""
    from fundus_lib.recipes import recipes

    first, *others = recipe_names(entry)
    lesions = records.get_recipe(record).lesions
    return next((name for name in others if recipes(paper, *name.split("/"))[0].lesions == lesions), first)


def _measured(columns: Mapping[str, str]) -> dict[str, Any]:
    from fundus_lib.data.summary import measured

    exudates = measured("IDRiD")["lesions"]["EX"]
    ours = {f"{column}{end}": exudates[name] for column, name in columns.items() for end in ("_ours", "_low", "_high")}
    return {"status": MEASURED, "deviations": "", **ours}


def _summary(metrics: Mapping[str, str], runs: Iterable[Mapping[str, Any]], scale: float) -> dict[str, float]:
    summary: dict[str, float] = {}
    by_seed: dict[int, list[Mapping[str, float]]] = {}
    for run in runs:
        by_seed.setdefault(int(run["seed"]), []).append(run["metrics"])
    for column, metric in metrics.items():
        known = [[fold[metric] for fold in folds if metric in fold] for folds in by_seed.values()]
        values = [sum(own) / len(own) / scale for own in known if own]  # folds of a seed are one run
        if values:
            summary |= {f"{column}_ours": sum(values) / len(values)}
            summary |= {f"{column}_low": min(values), f"{column}_high": max(values)}
    return summary


def deviations(paper: str, name: str, record: Mapping[str, Any]) -> list[str]:
    """In what a run differs from the published set-up, in words.

    Args:
        paper: Name of the paper.
        name: `TABLE/ROW` of the recipe that is the counterpart of a published row.
        record: A record.

    Returns:
        One phrase for each setting that differs, and for what the record says besides: other data, mixed precision.
    """
    from fundus_lib.recipes import recipes

    known = counterparts(paper)
    recipe = recipes(paper, *name.split("/"))[0]
    theirs = dict(_settings(recipe.to_dict()))
    for which in ("*", recipe.dataset, name):
        theirs |= known.as_published.get(which, {})
    run = records.get_recipe(record)
    ours = dict(_settings(run.to_dict()))

    def used(key: str) -> bool:
        return all(ours.get(other) == value for other, value in known.only_with.get(key, {}).items())

    found = [
        (
            known.phrases.get(f"{key}={_text(ours.get(key))}")
            or known.phrases.get(key, key + " {ours} instead of {theirs}")
        ).format(ours=_text(ours.get(key)), theirs=_text(theirs.get(key)))
        for key in dict.fromkeys([*theirs, *ours])
        if ours.get(key) != theirs.get(key) and used(key)
    ]
    if record["dataset"] != ", ".join(recipe.needs):
        found.append(f"tested on {record['dataset']}")
    if run.fold:
        found.append("fold {} of {}".format(*run.fold))
    if run.precision == "bf16":
        found.append("mixed precision (bf16)")
    return list(dict.fromkeys(phrase for phrase in found if phrase))


def _settings(plain: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a recipe, those in a mapping with its name before them."""
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{before}{key}.")
        elif before or key not in _NOT_COMPARED:
            yield before + key, value


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "×".join(map(str, value))
    return "the default" if value is None else str(value)
