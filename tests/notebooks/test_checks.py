"""Each check catches the fault that it is there for: planted in a small notebook that was really executed."""

import copy
import shutil
import subprocess
import sys

import notebook_checks as checks
import notebook_run as run
import notebook_store as store
import notebooks as cli
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

CODE = [
    "import uuid\n\nimport matplotlib.pyplot as plt\nimport numpy as np\n\nfrom fundus_lib.viz import slider",
    "slider([np.zeros((4, 4, 3), np.uint8)], ['one'], 'Black.')",
    "print(uuid.uuid4())",
    "fig, ax = plt.subplots(figsize=(1, 1))\nax.plot([1, 2]);",
    "print(round(1 / 3, 2))",
]
SECONDS = f"# A chapter\n\n{store.NEW_TIME_LINE}"


def chapter():
    cells = [new_markdown_cell(SECONDS), *map(new_code_cell, CODE)]
    cells[4].metadata["mystnb"] = {"image": {"alt": "A rising line."}}
    cells[5].metadata["tags"] = ["nbval-check-output"]
    return new_notebook(cells=cells)


def execute(folder):
    path = folder / "chapter.ipynb"
    notebook = chapter()
    used = run.execute(notebook, folder)
    run.fill_time(notebook, used)
    run.stamp(notebook, used)
    store.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return execute(tmp_path_factory.mktemp("executed"))


@pytest.fixture
def path(executed, tmp_path):
    """A fresh copy of the executed notebook and its twin, to plant a fault in."""
    for file in (executed, store.twin(executed)):
        shutil.copy(file, tmp_path)
    return tmp_path / executed.name


def edit(path, change):
    notebook = store.read(path)
    change(notebook)
    store.nbformat.write(notebook, path)


def failing(path):
    notebook = store.read(path)
    return [name for name, check in checks.CHECKS.items() if check(path, notebook)]


def nbval(path):
    options = ["--nbval-lax", "--nbval-current-env", f"--nbval-sanitize-with={store.ROOT}/tests/sanitize.cfg"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", *options, path.name]
    (path.parent / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True)


def test_a_good_notebook_passes(path):
    assert failing(path) == []
    assert nbval(path).returncode == 0


def test_executing_again_gives_the_same_bytes(executed, path):
    with pytest.raises(cli.typer.Exit) as end:
        cli.execute([path], force=True)
    assert end.value.exit_code == 0
    assert path.read_bytes() == executed.read_bytes()
    assert store.twin(path).read_bytes() == store.twin(executed).read_bytes()


def test_executing_takes_an_edited_twin_and_never_writes_over_it(path):
    twin = store.twin(path)
    twin.write_text(twin.read_text().replace("round(1 / 3, 2)", "round(2 / 3, 2)"))
    with pytest.raises(cli.typer.Exit) as end:
        cli.execute([path])
    assert end.value.exit_code == 0 and failing(path) == []
    assert "round(2 / 3, 2)" in twin.read_text() and "0.67" in store.read(path).cells[5].outputs[0]["text"]
    twin.write_text(twin.read_text().replace("# A chapter", "# The chapter"))
    edit(path, lambda notebook: notebook.cells[0].update(source="# My chapter"))
    with pytest.raises(cli.typer.BadParameter, match="--from"):
        cli.execute([path])
    assert "# The chapter" in twin.read_text()


def test_a_drifted_twin_is_caught(path):
    twin = store.twin(path)
    twin.write_text(twin.read_text().replace("round(1 / 3, 2)", "round(1 / 3, 3)"))
    assert failing(path) == ["in_step"]


def test_a_drifted_text_is_caught(path):
    edit(path, lambda notebook: notebook.cells[0].update(source=notebook.cells[0].source + "\n\nMore."))
    assert failing(path) == ["in_step"]


@pytest.mark.parametrize("spec", [None, {}, {"name": "ir", "display_name": "R", "language": "R"}])
def test_a_missing_or_other_kernel_is_caught(path, spec):
    def change(notebook):
        notebook.metadata.pop("kernelspec")
        if spec is not None:
            notebook.metadata["kernelspec"] = spec

    edit(path, change)
    assert failing(path) == ["kernel"]


def test_another_language_and_another_kernel_of_the_twin_are_caught(path):
    twin = store.twin(path)
    text = twin.read_text()
    twin.write_text(text.replace("name: python3", "name: ir"))
    assert failing(path) == ["kernel"]
    twin.write_text(text)
    edit(path, lambda notebook: notebook.metadata.update(language_info={"name": "R"}))
    assert failing(path) == ["kernel"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "\xff", None],
)
def test_a_broken_notebook_is_a_line_and_the_others_are_checked(path, content, tmp_path):
    broken = tmp_path / "broken.ipynb"
    if content is not None:
        broken.write_bytes(content.encode("latin-1"))
    (line,) = checks.problems([broken, path])
    assert "broken.ipynb: cannot be read" in line and "sync" in line


def test_a_stamp_or_a_twin_that_cannot_be_read_is_a_line(path):
    edit(path, lambda notebook: notebook.metadata["fundus"].pop("inputs"))
    assert len(checks.problems([path])) == 1
    store.twin(path).write_bytes(b"\xff\xfe")
    assert "cannot be read" in checks.problems([path])[0]


def test_a_stale_library_is_caught(path, tmp_path, monkeypatch):
    shutil.copytree(store.ROOT / "fundus_lib", tmp_path / "fundus_lib")
    monkeypatch.setattr(store, "ROOT", tmp_path)
    assert checks.fresh(path, store.read(path)) is None
    with (tmp_path / "fundus_lib" / "viz" / "slider.py").open("a") as file:
        file.write("# changed\n")
    assert "older library" in checks.fresh(path, store.read(path))


def test_a_file_that_it_does_not_use_leaves_it_fresh(path):
    inputs = store.read(path).metadata["fundus"]["inputs"]
    assert "fundus_lib/viz/slider.py" in inputs
    assert "fundus_lib/settings.py" not in inputs


def test_a_new_record_is_caught_by_a_page_that_reads_records(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "ROOT", tmp_path)
    folder = tmp_path / "fundus_lib" / "records"
    folder.mkdir(parents=True)
    (folder / "one.json").write_text("{}")
    assert run._relative([str(folder / "one.json")]) == [run.RECORDS]
    before = store.inputs_hash([run.RECORDS])
    (folder / "two.json").write_text("{}")
    assert store.inputs_hash([run.RECORDS]) != before


def test_notebooks_that_are_light_one_by_one_are_caught_together(path, monkeypatch):
    assert checks.weight([path]) is None
    monkeypatch.setattr(checks, "MAX_BYTES_OF_ALL", 2 * path.stat().st_size - 1)
    assert "together" in checks.weight([path, path])


def test_changed_code_is_caught(path):
    edit(path, lambda notebook: notebook.cells[5].update(source="print(round(1 / 3, 3))"))
    assert set(failing(path)) == {"in_step", "fresh"}


def test_changed_outputs_are_caught(path):
    edit(path, lambda notebook: notebook.cells[5].outputs[0].update(text="0.34\n"))
    assert failing(path) == ["fresh"]


def test_stripped_outputs_are_caught_although_nbval_passes(path):
    def strip(notebook):
        for cell in notebook.cells[1:]:
            cell.update(outputs=[], execution_count=None)

    edit(path, strip)
    assert set(failing(path)) == {"fresh", "executed"}
    assert nbval(path).returncode == 0


def test_cells_run_out_of_order_are_caught(path):
    edit(path, lambda notebook: notebook.cells[2].update(execution_count=9))
    assert failing(path) == ["executed"]


def test_an_error_among_the_outputs_is_caught(path):
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    edit(path, lambda notebook: notebook.cells[5].update(outputs=[error]))
    assert "executed" in failing(path)


def test_another_edition_is_caught(path):
    edit(path, lambda notebook: notebook.metadata["fundus"].update(edition="IDRiD"))
    assert failing(path) == ["edition"]


def test_a_banner_of_another_edition_is_caught_although_the_stamp_says_synthetic(path):
    def forge(notebook):
        notebook.metadata["fundus"]["edition"] = "synthetic"
        data = {"text/plain": "edition: IDRiD | profile: smoke"}
        notebook.cells[1].outputs = [new_output("execute_result", data=data, execution_count=1)]

    edit(path, forge)
    assert "edition" in failing(path)


def test_a_picture_without_description_is_caught(path):
    edit(path, lambda notebook: notebook.cells[4].metadata.pop("mystnb"))
    assert "presentable" in failing(path)


@pytest.mark.parametrize(
    "output",
    [
        {"text/html": "x" * (checks.MAX_BYTES + 1)},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}},
    ],
    ids=["large", "widget"],
)
def test_what_does_not_suit_a_page_is_caught(path, output):
    edit(path, lambda notebook: notebook.cells[5].update(outputs=[new_output("display_data", data=output)]))
    assert "presentable" in failing(path)


def test_a_cell_too_long_to_read_is_caught(path):
    edit(path, lambda notebook: notebook.cells[5].update(source="1\n" * (checks.MAX_LINES + 1)))
    assert "presentable" in failing(path)


def test_a_missing_time_is_caught(path):
    edit(path, lambda notebook: notebook.cells[0].update(source=SECONDS))
    assert "timed" in failing(path)


def test_nbval_catches_a_wrong_number(path):
    edit(path, lambda notebook: notebook.cells[5].outputs[0].update(text="0.34\n"))
    result = nbval(path)
    assert result.returncode == 1
    assert "0.34" in result.stdout


def test_nbval_catches_an_exception(path):
    edit(path, lambda notebook: notebook.cells[2].update(source="raise ValueError('planted')"))
    result = nbval(path)
    assert result.returncode == 1
    assert "planted" in result.stdout


def test_sync_takes_the_side_that_was_edited_and_keeps_the_other_outputs(path):
    twin = store.twin(path)
    twin.write_text(
        twin.read_text().replace("# A chapter", "# The chapter").replace("round(1 / 3, 2)", "round(2 / 3, 2)")
    )
    assert cli.sync_one(path).startswith("taken from the md")
    notebook = store.read(path)
    assert notebook.cells[0].source.startswith("# The chapter")
    assert notebook.cells[5].outputs == []
    assert notebook.cells[2].outputs
    assert set(failing(path)) == {"fresh", "executed"}

    edit(path, lambda notebook: notebook.cells[0].update(source=SECONDS.replace("A chapter", "My chapter")))
    assert cli.sync_one(path).startswith("taken from the ipynb")
    assert "# My chapter" in twin.read_text()
    assert cli.sync_one(path) == "in step"


def test_editing_only_the_text_needs_no_execution(path):
    twin = store.twin(path)
    twin.write_text(twin.read_text().replace("# A chapter", "# The chapter"))
    assert cli.sync_one(path) == "taken from the md"
    assert failing(path) == []


def test_sync_does_not_choose_between_two_edited_sides(path):
    twin = store.twin(path)
    twin.write_text(twin.read_text().replace("# A chapter", "# The chapter"))
    edit(path, lambda notebook: notebook.cells[0].update(source="# My chapter"))
    with pytest.raises(ValueError, match="--from"):
        cli.sync_one(path)
    cli.sync_one(path, "md")
    assert store.read(path).cells[0].source.startswith("# The chapter")


def test_a_time_is_replaced_only_when_it_has_changed_noticeably():
    notebook = chapter()
    for seconds, shown in ((40.2, 40), (44.0, 40), (51.0, 51), (50.0, 51), (90.0, 90)):
        run.fill_time(notebook, run.Used([], "none", "smoke", "", seconds))
        assert f"**Time**: {shown} s on" in notebook.cells[0].source
        assert "GPU: not measured" in notebook.cells[0].source
    run.fill_time(notebook, run.Used([], "none", "smoke", "A100", 3.0))
    assert store.TIME_LINE.search(notebook.cells[0].source)["gpu"] == "3 s on one A100 (smoke profile)"
    assert "90 s on" in notebook.cells[0].source


def test_measured_time_and_address_do_not_make_a_notebook_stale():
    one, other = chapter(), copy.deepcopy(chapter())
    for notebook, slug, seconds in ((one, "a/b", 10), (other, "c/d", 99)):
        notebook.cells[1].source = f"%pip install --quiet git+https://github.com/{slug}"
        run.fill_time(notebook, run.Used([], "none", "smoke", "", seconds))
    assert store.source_hash(one) == store.source_hash(other)
    assert store.cells_hash(one) == store.cells_hash(other)


def test_an_address_that_was_not_carried_is_found_and_carried(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("pyproject.toml", "_config.yml", "README.md", "CITATION.cff"):
        if (store.ROOT / name).is_file():
            shutil.copy(store.ROOT / name, tmp_path)
    page = (
        "[Colab](https://colab.research.google.com/github/{0}/blob/main/x.ipynb), not https://github.com/others/code\n"
    )
    (tmp_path / "book" / "page.md").write_text(page.format(checks.slug()))
    assert checks.address(tmp_path) == []

    old = checks.slug(tmp_path)
    project = tmp_path / "pyproject.toml"
    project.write_text(project.read_text().replace(f"github.com/{old}", "github.com/new-owner/new-name"))
    found = checks.address(tmp_path)
    assert any(line.startswith("_config.yml") for line in found)
    assert any(line.startswith("book/page.md") for line in found)
    for file in checks.addressed(tmp_path):
        file.write_text(checks.readdress(file.read_text(), "new-owner/new-name", old))
    assert checks.address(tmp_path) == []
    assert (tmp_path / "book" / "page.md").read_text() == page.format("new-owner/new-name")


def test_a_failing_cell_leaves_the_stored_outputs_alone(path):
    edit(path, lambda notebook: notebook.cells[2].update(source="raise ValueError('planted')"))
    cli.sync_one(path)
    before = path.read_bytes()
    with pytest.raises(cli.typer.Exit):
        cli.execute([path])
    assert path.read_bytes() == before


def test_another_edition_is_executed_elsewhere_and_the_committed_notebook_stays(path, tmp_path, monkeypatch):
    root, data, copies = tmp_path / "root", tmp_path / "data", tmp_path / "edition"
    (root / "book").mkdir(parents=True)
    data.mkdir()
    for name in ("_config.yml", "_toc.yml", "jupytext.toml"):
        shutil.copy(store.ROOT / name, root)
    edit(path, lambda notebook: notebook.cells[5].update(source="import os\n\nprint(os.environ['FUNDUS_DATA'])"))
    committed = root / "book" / path.name
    shutil.copy(path, committed)
    before = committed.read_bytes()
    monkeypatch.setattr(store, "ROOT", root)
    with pytest.raises(cli.typer.Exit) as end:
        cli.execute(data=data, to=copies)
    assert end.value.exit_code == 0
    assert committed.read_bytes() == before
    assert store.read(copies / "book" / path.name).cells[5].outputs[0].text == f"{data}\n"
    assert (copies / "_toc.yml").is_file()


def test_real_data_is_never_executed_in_place(tmp_path):
    with pytest.raises(cli.typer.BadParameter):
        cli.execute(data=tmp_path)
