"""The array cache: each row decoded once, whole or not at all, for several processes, and never stale."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm

from fundus_lib.data import IDRiDGrading, IDRiDSegmentation
from fundus_lib.data import base as base_module
from fundus_lib.data.cache import cached_array
from fundus_lib.errors import FileAccessError, MissingFileError, UnreadableImageError
from helpers import small_idrid as small

SLOW_FILL = """
import sys, time
from pathlib import Path
import numpy as np
from fundus_lib.data.cache import cached_array

root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
rows = [int(row) for row in sys.argv[4:]] or None
files = sorted(root.glob("*.bin"))

def decode(i):
    with log.open("a") as file:
        file.write(f"{i}\\n")
    time.sleep(seconds)
    return np.fromfile(files[i], np.uint8)

print("ready", flush=True)
array = cached_array("slow", root, files, (len(files), 4), decode, rows)
print(array.sum(axis=1).tolist(), flush=True)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "arrays"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for i in range(6):
        np.full(4, i, np.uint8).tofile(folder / f"{i}.bin")
    return sorted(folder.glob("*.bin"))


class Decoder:
    """Reads the files and counts how often."""

    def __init__(self, files):
        self.files, self.calls = files, 0

    def __call__(self, i):
        self.calls += 1
        return np.fromfile(self.files[i], np.uint8)

    def open(self, shape=(6, 4), rows=None):
        return cached_array("small", self.files[0].parent, self.files, shape, self, rows)


def slow_fill(files, log, seconds, rows=()):
    command = [sys.executable, "-c", SLOW_FILL, str(files[0].parent), str(log), str(seconds), *map(str, rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_decoded_once(home, files):
    decoder = Decoder(files)
    for _ in range(3):
        assert decoder.open().tolist() == [[i] * 4 for i in range(6)]
    assert decoder.calls == 6


def test_array_cannot_be_written(home, files):
    with pytest.raises(ValueError, match="read-only"):
        Decoder(files).open()[0] = 1


def test_changed_file_is_decoded_again_and_the_old_array_goes(home, files):
    decoder = Decoder(files)
    decoder.open()
    np.full(4, 77, np.uint8).tofile(files[2])  # of the same length
    os.utime(files[2], ns=(1, 1))
    assert decoder.open()[2].tolist() == [77] * 4
    assert decoder.calls == 12
    assert len(list(home.glob("*.npy"))) == 1


def test_sizes_and_roots_have_arrays_of_their_own(home, files, tmp_path):
    decoder = Decoder(files)
    decoder.open()
    other = tmp_path / "other"
    other.mkdir()
    copies = [Path(f.rename(other / f.name)) for f in files]
    Decoder(copies).open()
    assert len(list(home.glob("*.npy"))) == 2
    with pytest.raises(ValueError, match="broadcast"):
        Decoder(copies).open(shape=(6, 5))
    assert len(list(home.glob("*.npy"))) == 3
    assert Decoder(copies).open().tolist() == [[i] * 4 for i in range(6)]


def test_shortened_array_is_filled_again(home, files):
    decoder = Decoder(files)
    decoder.open()
    (path,) = home.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    assert decoder.open().tolist() == [[i] * 4 for i in range(6)]
    assert decoder.calls == 12


def test_only_the_rows_asked_for_are_decoded_and_each_once(home, files):
    decoder = Decoder(files)
    assert decoder.open(rows=[4, 1, 4])[[1, 4]].tolist() == [[1] * 4, [4] * 4]
    assert decoder.calls == 2
    decoder.open(rows=[1, 5])
    assert decoder.calls == 3
    for _ in range(2):
        assert decoder.open().tolist() == [[i] * 4 for i in range(6)]
        assert decoder.calls == 6


def test_array_whose_marks_are_lost_is_filled_again(home, files):
    decoder = Decoder(files)
    decoder.open()
    (marks,) = home.glob("*.rows")
    marks.unlink()
    assert decoder.open().tolist() == [[i] * 4 for i in range(6)]
    assert decoder.calls == 12


@pytest.fixture
def decoded(monkeypatch):
    """Names of the images that are decoded from now on."""
    names = []
    read = base_module.read_image
    monkeypatch.setattr(base_module, "read_image", lambda path, size: names.append(path.stem) or read(path, size))
    return names


def test_leaving_images_out_and_back_in_decodes_nothing_twice(home, tmp_path, decoded):
    root, every = small.write(tmp_path / "IDRiD"), ["IDRiD_001", "IDRiD_002", "IDRiD_003", "IDRiD_004"]
    whole = [IDRiDGrading(root, "train", size=(24, 36), cache=False)[i]["image"] for i in range(4)]
    decoded.clear()
    for exclude in (["IDRiD_002"], [], ["IDRiD_001"], [], ["IDRiD_002"]):
        data = IDRiDGrading(root, "train", size=(24, 36), exclude=exclude)
        kept = [n for n in every if n not in exclude]
        assert data.names == kept
        for sample in data:
            assert (sample["image"] == whole[every.index(sample["name"])]).all()
    assert sorted(decoded) == every
    assert len(list(home.glob("*.npy"))) == 1


def test_a_part_decodes_its_images_alone_and_shares_them(home, tmp_path, decoded):
    data = IDRiDSegmentation(small.write(tmp_path / "IDRiD"), "train", size=(24, 36))
    masks = [sample["mask"] for sample in IDRiDSegmentation(data.root, "train", size=(24, 36), cache=False)]
    decoded.clear()
    last_first = data.part([2, 0])
    assert (last_first.names, data.names) == (["IDRiD_03", "IDRiD_01"], ["IDRiD_01", "IDRiD_02", "IDRiD_03"])
    for part, indices in ((last_first, [2, 0]), (data.first(1), [0]), (last_first.part([1]), [0])):
        assert part.annotated.tolist() == data.annotated[indices].tolist()
        for sample, index in zip(part, indices, strict=True):
            assert (sample["mask"] == masks[index]).all() and sample["name"] == data.names[index]
    assert sorted(decoded) == ["IDRiD_01", "IDRiD_03"]
    assert [sample["name"] for sample in data] == data.names
    assert sorted(decoded) == data.names
    assert (len(data.first(None)), len(data.first(7)), len(data.first(2))) == (3, 3, 2)
    assert data.first(2).fingerprint() == data.part([0, 1]).fingerprint() != data.fingerprint()


def test_an_image_that_fails_costs_no_other_and_is_never_read(home, tmp_path):
    root = small.write(tmp_path / "IDRiD")
    path = small.photograph_path(root, "IDRiD_02")
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(UnreadableImageError):
        IDRiDSegmentation(root, "train", size=(24, 36))[0]
    assert IDRiDSegmentation(root, "train", size=(24, 36)).part([0, 2])[1]["image"].any()
    with pytest.raises(UnreadableImageError):
        IDRiDSegmentation(root, "train", size=(24, 36)).part([1])[0]
    path.write_bytes(whole)
    assert IDRiDSegmentation(root, "train", size=(24, 36))[1]["image"].any()


def refuse(number):
    """What the operating system does when it refuses a call."""

    def call(*_):
        raise OSError(number, os.strerror(number))

    return call


def test_room_is_reserved_before_anything_is_decoded(home, files, monkeypatch):
    monkeypatch.setattr("os.posix_fallocate", refuse(errno.ENOSPC))
    decoder = Decoder(files)
    with pytest.raises(FileAccessError, match=r"(?s)no room.*MB are free.*FUNDUS_CACHE"):
        decoder.open()
    assert decoder.calls == 0


def test_a_file_system_that_reserves_nothing_is_filled_all_the_same(home, files, monkeypatch):
    monkeypatch.setattr("os.posix_fallocate", refuse(errno.EOPNOTSUPP))
    assert Decoder(files).open().tolist() == [[i] * 4 for i in range(6)]
    monkeypatch.delattr("os.posix_fallocate")  # as on macOS
    assert Decoder(files[:5]).open(shape=(5, 4)).tolist() == [[i] * 4 for i in range(5)]


def test_reserved_rows_take_their_room_and_others_none(home, files, tmp_path):
    def decode(row):
        (path,) = home.glob("*.npy")
        blocks.append(path.stat().st_blocks * 512)
        return np.full(2**20, row, np.uint8)

    blocks = []
    cached_array("large", files[0].parent, files, (6, 2**20), decode, [1, 4])
    assert min(blocks) >= 2 * 2**20 and max(blocks) < 4 * 2**20


def test_a_cache_that_cannot_be_made_or_read_is_named(files, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "file"))
    with pytest.raises(FileAccessError, match=r"(?s)file is where a folder.*FUNDUS_CACHE"):
        Decoder(files).open()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "arrays").write_bytes(b"")
    monkeypatch.setenv("FUNDUS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileAccessError, match=r"(?s)arrays.*file is where a folder"):
        Decoder(files).open()


def test_a_read_only_cache_serves_what_it_holds(home, files, monkeypatch):
    Decoder(files).open(rows=[0, 1])
    monkeypatch.setattr("fundus_lib.data.cache.FileLock", refuse(errno.EROFS))  # a superuser may write anywhere
    assert Decoder(files).open(rows=[1])[1].tolist() == [1] * 4
    with pytest.raises(FileAccessError, match=r"(?s)small.*you may not read or write.*FUNDUS_CACHE"):
        Decoder(files).open()


def test_a_source_that_cannot_be_read_is_named_and_not_the_cache(home, files):
    files[2].unlink()
    files[2].mkdir()
    with pytest.raises(FileAccessError, match=r"2\.bin: a folder is where a file is meant") as caught:
        Decoder(files).open()
    assert "FUNDUS_CACHE" not in str(caught.value)


def test_full_disk_is_said_beforehand(home, files, monkeypatch):
    monkeypatch.setattr("os.posix_fallocate", refuse(errno.EOPNOTSUPP))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 3})())
    with pytest.raises(FileAccessError, match="no room"):
        Decoder(files).open()


def test_file_that_vanished(home, files):
    files[3].unlink()
    with pytest.raises(MissingFileError, match=r"3\.bin"):
        Decoder(files).open()


def test_progress_bar_on_the_first_read_only(home, files, capsys, monkeypatch):
    monkeypatch.setattr("fundus_lib.data.cache.tqdm", partial(tqdm, disable=False))  # also under TQDM_DISABLE
    Decoder(files).open()
    assert "small: 100%" in capsys.readouterr().err
    Decoder(files).open()
    assert capsys.readouterr().err == ""


def test_native_size_is_not_cached(home, tmp_path):
    data = IDRiDSegmentation(small.write(tmp_path / "IDRiD"), "train")
    data.prepare()
    assert data[0]["image"].any()
    assert not home.exists()


def test_two_processes_fill_once(home, files, tmp_path):
    log = tmp_path / "log"
    processes = [slow_fill(files, log, 0.1) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == str([4 * i for i in range(6)])
    assert sorted(log.read_text().split()) == [str(i) for i in range(6)]


def test_two_processes_fill_parts_that_overlap(home, files, tmp_path):
    log = tmp_path / "log"
    processes = [slow_fill(files, log, 0.1, rows) for rows in ([0, 1, 2, 3], [2, 3, 4, 5])]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    out, _ = slow_fill(files, log, 0).communicate(timeout=120)
    assert out.splitlines()[-1] == str([4 * i for i in range(6)])
    assert sorted(log.read_text().split()) == [str(i) for i in range(6)]


def test_killed_fill_leaves_nothing_that_is_read(home, files, tmp_path):
    log = tmp_path / "log"
    process = slow_fill(files, log, 30)
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text()):  # the fill has begun
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(home.glob("*.npy"))
    assert not list(home.glob("*.rows"))
    assert Decoder(files).open().tolist() == [[i] * 4 for i in range(6)]  # and the lock is free
