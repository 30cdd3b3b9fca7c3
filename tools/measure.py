"""Measure anew what is stored of real images: `python tools/measure.py NAME ROOT [KEY=VALUE ...]`.

`python tools/measure.py hecl_masks /data/IDRiD` calls `fundus_lib.published.hecl_masks.measure` and replaces the JSON
beside that module. Two need more than a copy of IDRiD: `hecl_networks` takes `again=model.pt`, `local_global_networks`
takes `runs=FOLDER`; their `measure` says of what. `pldmlt_graders` writes `pldmlt_labels.json`, and the table of pseudo
labels.
"""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

import fundus_lib.published
from fundus_lib.atomic import write_atomically

FOLDER = Path(fundus_lib.published.__file__).parent
STORED_AS = {"pldmlt_graders": "pldmlt_labels"}
"""Module → the name of its file, where that is another."""


def main(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A module of fundus_lib.published that measures.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="A copy of IDRiD.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="What else it takes.")] = None,
) -> None:
    """Measure, and store what was found."""
    file = FOLDER / f"{STORED_AS.get(name, name)}.json"
    if name not in list_names():
        raise typer.BadParameter(f"{name} is none of {', '.join(list_names())}")
    known: dict[str, Any] = {}
    for setting in settings or []:
        key, sign, value = setting.partition("=")
        if not sign:
            raise typer.BadParameter(f"{setting}: write KEY=VALUE")
        known[key] = int(value) if value.isdigit() else value
    measure = import_module(f"fundus_lib.published.{name}").measure
    try:
        inspect.signature(measure).bind(root, **known)
    except TypeError as error:
        raise typer.BadParameter(f"{name}: {error}; it takes {inspect.signature(measure)}") from error
    found = measure(root, **known)
    if name == "pldmlt_graders":
        from fundus_lib.data.pseudo_label_table import TABLE
        from fundus_lib.protocols.pseudo_labels import write_labels

        table, found = found
        write_labels(table, TABLE)
    write_atomically(file, write_like(file.read_text("utf-8"), found).encode())
    print(file)


def list_names() -> list[str]:
    """The modules that measure what is stored."""
    measuring = [path.stem for path in sorted(FOLDER.glob("*.py")) if "\ndef measure(" in path.read_text("utf-8")]
    return [name for name in measuring if (FOLDER / f"{STORED_AS.get(name, name)}.json").is_file()]


def write_like(stored: str, found: Any) -> str:
    """What was found as JSON, in one line or indented as what is stored."""
    return json.dumps(found, indent=1 if stored.startswith("{\n") else None) + "\n"


if __name__ == "__main__":
    typer.run(main)
