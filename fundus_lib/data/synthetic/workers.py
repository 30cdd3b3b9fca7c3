"""Drawing many files in several processes.

The processes are started as separate programs (this module, with `python -m`), not by `multiprocessing`: a fork of a
process in which OpenCV has threads can hang, and a spawn needs `if __name__ == "__main__"` in the reader's script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from fundus_lib.data.sample import Size
from fundus_lib.data.synthetic.files import write_palette_tif, write_rgba_tif
from fundus_lib.data.synthetic.fundus import draw
from fundus_lib.data.synthetic.patient import Population

REFUSED = 3
"""Exit status of a process to which the operating system refused something; its last line of stderr says what."""


@dataclass(frozen=True)
class Job:
    """One synthetic image and its files.

    Attributes:
        population: Population of patients.
        index: Index of the image.
        images: Paths of its JPEG files, relative to the root.
        masks: From lesion, or OD, to the path of its mask.
        odd: Write the exudates' mask as RGBA instead of one bit per pixel.
    """

    population: Population
    index: int
    images: list[str]
    masks: dict[str, str]
    odd: bool = False


@dataclass(frozen=True)
class Fact:
    """The labels of an image: grades, and centres (x, y) in pixels."""

    dr: int
    dme: int
    disc: tuple[float, float]
    fovea: tuple[float, float]


Facts = dict[tuple[Population, int], Fact]


def draw_files(
    root: Path, size: Size, seed: int, jobs: Sequence[Job], processes: int, done: Callable[[], object]
) -> Facts:
    """Draw all jobs.

    Args:
        root: Root of the files; their folders exist.
        size: (height, width) in pixels.
        seed: Seed of the data set.
        jobs: Images to draw.
        processes: Number of processes.
        done: Called after each image.

    Returns:
        The labels by population and index.

    Raises:
        OSError: The operating system refused a process something; or it failed, then the message contains the end of
            its stderr.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parts = [list(jobs[k::processes]) for k in range(min(processes, len(jobs)))]
    command = [sys.executable, "-m", __name__]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe) for _ in parts
    ]

    def follow(process: subprocess.Popen[str], part: list[Job]) -> Facts:
        assert process.stdin and process.stdout and process.stderr
        request = {"root": str(root), "size": size, "seed": seed, "jobs": [asdict(job) for job in part]}
        process.stdin.write(json.dumps(request))
        process.stdin.close()
        facts: Facts = {}
        for job, line in zip(part, process.stdout, strict=False):
            dr, dme, disc, fovea = json.loads(line)
            facts[job.population, job.index] = Fact(dr, dme, tuple(disc), tuple(fovea))
            done()
        said = process.stderr.read()
        if process.wait() == REFUSED:
            raise OSError(*json.loads(said.splitlines()[-1]))
        if process.returncode or len(facts) < len(part):
            raise OSError(f"a process that draws synthetic images stopped:\n{said[-2000:]}")
        return facts

    with ThreadPoolExecutor(len(parts)) as threads:
        try:
            found = list(threads.map(follow, running, parts))
        finally:
            for process in running:
                process.kill()
    return {key: fact for facts in found for key, fact in facts.items()}


def _draw_jobs() -> None:
    """Draw the jobs in stdin; after each, write its labels as one line of JSON to stdout."""
    cv2.setNumThreads(1)
    request = json.load(sys.stdin)
    root, size = Path(request["root"]), (int(request["size"][0]), int(request["size"][1]))
    for values in request["jobs"]:
        job = Job(**values)
        fundus = draw(request["seed"], job.index, size, job.population)
        for path in job.images:
            (root / path).write_bytes(fundus.jpeg)
        masks = {**fundus.masks, "OD": fundus.optic_disc_mask}
        for kind, path in job.masks.items():
            if kind in masks:
                write = write_rgba_tif if job.odd and kind == "EX" else write_palette_tif
                write(root / path, masks[kind])
        print(json.dumps([fundus.dr, fundus.dme, fundus.optic_disc, fundus.fovea]), flush=True)


if __name__ == "__main__":
    try:
        _draw_jobs()
    except OSError as error:
        print(json.dumps([error.errno, error.strerror or str(error)]), file=sys.stderr)
        sys.exit(REFUSED)
