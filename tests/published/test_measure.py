"""The command that measures anew what is stored of real images."""

import json

import measure
import pytest
import typer

from fundus_lib.published import pldmlt_empty


def test_every_stored_measurement_has_a_command_that_would_write_it_in_the_same_form():
    names = measure.list_names()
    assert {"benchmark_shifts", "hecl_masks", "local_global_networks", "pldmlt_empty", "pldmlt_graders"} <= {*names}
    for name in names:
        stored = (measure.FOLDER / f"{measure.STORED_AS.get(name, name)}.json").read_text("utf-8")
        assert measure.write_like(stored, json.loads(stored)) == stored, name


def test_measuring_replaces_what_is_stored(synthetic_root, tmp_path, monkeypatch):
    for file in ("pldmlt_empty.py", "pldmlt_empty.json"):
        (tmp_path / file).write_bytes((measure.FOLDER / file).read_bytes())
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    measure.main("pldmlt_empty", synthetic_root, ["side=64"])
    text = (tmp_path / "pldmlt_empty.json").read_text("utf-8")
    assert text == json.dumps(pldmlt_empty.measure(synthetic_root, side=64), indent=1) + "\n"
    assert json.loads(text).keys() == pldmlt_empty.measured().keys()
    with pytest.raises(typer.BadParameter, match="none of pldmlt_empty"):
        measure.main("hecl_claims", synthetic_root, [])
