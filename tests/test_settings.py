"""The two switches and the banner."""

import os
from pathlib import Path

import pytest

from fundus_lib import settings
from fundus_lib.data import IDRiDGrading, IDRiDSegmentation, SyntheticFundus
from fundus_lib.errors import ArgumentError, DatasetNotFoundError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FUNDUS_DATA", raising=False)
    monkeypatch.delenv("FUNDUS_PROFILE", raising=False)


def test_profile_is_smoke_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.profile() == "smoke"
    monkeypatch.setenv("FUNDUS_PROFILE", "paper")
    assert settings.profile() == "paper"
    monkeypatch.setenv("FUNDUS_PROFILE", "papr")
    with pytest.raises(ArgumentError, match="'papr'"):
        settings.profile()


def test_data_home_refuses_a_folder_without_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert settings.data_home() is None
    (tmp_path / "A. Segmentation").mkdir()  # the frequent mistake: IDRiD's root in place of its parent
    monkeypatch.setenv("FUNDUS_DATA", str(tmp_path))
    with pytest.raises(DatasetNotFoundError, match="not IDRiD itself"):
        settings.data_home()
    monkeypatch.setenv("FUNDUS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DatasetNotFoundError, match="no such folder"):
        settings.data_home()
    (tmp_path / "DDR").mkdir()
    monkeypatch.setenv("FUNDUS_DATA", str(tmp_path))
    assert settings.data_home() == tmp_path


def test_edition_names_what_is_on_disk(monkeypatch: pytest.MonkeyPatch, synthetic_root: Path) -> None:
    monkeypatch.setenv("FUNDUS_DATA", str(synthetic_root.parent))
    edition = settings.edition()
    assert (edition.name, edition.real, edition.root) == ("synthetic", False, synthetic_root)
    banner = settings.banner()
    assert "synthetic" in repr(banner)
    assert "no patient" in banner._repr_html_()


def test_a_synthetic_image_has_no_name_of_a_real_one(synthetic_root: Path) -> None:
    synthetic, real = (settings.Edition("any", synthetic_root, real=real, note="") for real in (False, True))
    for split in ("train", "test"):
        for data in (IDRiDSegmentation(synthetic_root, split), IDRiDGrading(synthetic_root, split)):
            for name in data.names:
                assert synthetic.show_names(name) == f"synthetic image {int(name.split('_')[1])}"
                assert real.show_names(name) == name
    text = "the same image as IDRiD_009 of the grading test set, and IDRiD_55"
    assert synthetic.show_names(text) == (
        "the same image as synthetic image 9 of the grading test set, and synthetic image 55"
    )
    assert synthetic.show_names(SyntheticFundus(2, size=(32, 48))[1]["name"]) == "synthetic image 2"


@pytest.mark.real_data
def test_edition_of_the_real_data(monkeypatch: pytest.MonkeyPatch, idrid_root: Path) -> None:
    monkeypatch.setenv("FUNDUS_DATA", str(idrid_root.parent))
    edition = settings.edition()
    assert edition.real
    assert edition.name == "IDRiD"
    assert "real images" in settings.banner()._repr_html_()


def test_cache_home_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "a" / "b"))
    assert settings.cache_home().is_dir()


def test_no_other_variable_is_read() -> None:
    """The docstring's table is complete: no other FUNDUS_ variable occurs in the library."""
    import re

    package = Path(settings.__file__).parent
    named = {name for path in package.rglob("*.py") for name in re.findall(r"FUNDUS_[A-Z]+", path.read_text())}
    assert named == set(re.findall(r"`(FUNDUS_[A-Z]+)`", settings.__doc__ or ""))
    assert os.environ.get("FUNDUS_CACHE")
