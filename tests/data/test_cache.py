"""The array cache: decoded once, whole or not at all, for several processes, and never stale."""

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

from fundus_lib.data import IDRiDSegmentation
from fundus_lib.data.cache import cached_array
from fundus_lib.errors import ArgumentError, MissingFileError, UnreadableImageError
from helpers import small_idrid as small

SLOW_FILL = """
import sys, time
from pathlib import Path
import numpy as np
from fundus_lib.data.cache import cached_array

root, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
files = sorted(root.glob("*.bin"))

def decode(i):
    with log.open("a") as file:
        file.write(f"{i}\\n")
    time.sleep(seconds)
    return np.fromfile(files[i], np.uint8)

print("ready", flush=True)
array = cached_array("slow", root, files, (len(files), 4), decode)
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

    def open(self, shape=(6, 4)):
        return cached_array("small", self.files[0].parent, self.files, shape, self)


def slow_fill(files, log, seconds):
    command = [sys.executable, "-c", SLOW_FILL, str(files[0].parent), str(log), str(seconds)]
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
    with pytest.raises(ValueError, match="broadcast"):
        decoder.open(shape=(6, 5))
    other = tmp_path / "other"
    other.mkdir()
    copies = [Path(f.rename(other / f.name)) for f in files]
    Decoder(copies).open()
    assert len(list(home.glob("*.npy"))) == 2


def test_shortened_array_is_filled_again(home, files):
    decoder = Decoder(files)
    decoder.open()
    (path,) = home.glob("*.npy")
    path.write_bytes(path.read_bytes()[:-5])
    assert decoder.open().tolist() == [[i] * 4 for i in range(6)]
    assert decoder.calls == 12


def test_error_in_a_file_leaves_nothing(home, tmp_path):
    root = small.write(tmp_path / "IDRiD")
    path = small.photograph_path(root, "IDRiD_02")
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    with pytest.raises(UnreadableImageError):
        IDRiDSegmentation(root, "train", size=(24, 36))[0]
    assert not [p for p in home.iterdir() if p.suffix != ".lock"]
    path.write_bytes(whole)
    assert IDRiDSegmentation(root, "train", size=(24, 36))[1]["image"].any()


def test_full_disk_is_said_beforehand(home, files, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 3})())
    with pytest.raises(ArgumentError, match="no room"):
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
    assert list(home.glob("*.partial"))
    assert not list(home.glob("*.npy"))
    assert Decoder(files).open().tolist() == [[i] * 4 for i in range(6)]  # and the lock is free
