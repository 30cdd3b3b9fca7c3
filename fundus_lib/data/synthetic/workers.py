"""Drawing many files in several processes.

They are started as programs of their own (this module, with `python -m`), not by `multiprocessing`: a fork of a process
in which OpenCV has threads can hang, and a spawn needs `if __name__ == "__main__"` in the reader's script.
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
from fundus_lib.data.synthetic.patient import Population
from fundus_lib.data.synthetic.photograph import draw


@dataclass(frozen=True)
class Job:
    """One drawing and the files that show it.

    Attributes:
        population: Of what kind the patients are.
        index: Number of the drawing.
        photographs: Paths of its JPEG files, relative to the root.
        masks: From lesion, or OD, to the path of its mask.
        odd: Write the exudates' mask as RGBA instead of one bit per pixel.
    """

    population: Population
    index: int
    photographs: list[str]
    masks: dict[str, str]
    odd: bool = False


@dataclass(frozen=True)
class Fact:
    """What the label files say of a drawing: grades, and centres (x, y) in pixels."""

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
        root: Where the files go; their folders exist.
        size: (height, width) in pixels.
        seed: Seed of the data set.
        jobs: What to draw.
        processes: How many processes share the work.
        done: Called after each drawing.

    Returns:
        What the label files say, by population and number.

    Raises:
        OSError: A process failed; the message holds what it said last.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    shares = [list(jobs[k::processes]) for k in range(min(processes, len(jobs)))]
    command = [sys.executable, "-m", __name__]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe) for _ in shares
    ]

    def follow(process: subprocess.Popen[str], share: list[Job]) -> Facts:
        assert process.stdin and process.stdout and process.stderr
        order = {"root": str(root), "size": size, "seed": seed, "jobs": [asdict(job) for job in share]}
        process.stdin.write(json.dumps(order))
        process.stdin.close()
        facts: Facts = {}
        for job, line in zip(share, process.stdout, strict=False):
            dr, dme, disc, fovea = json.loads(line)
            facts[job.population, job.index] = Fact(dr, dme, tuple(disc), tuple(fovea))
            done()
        if process.wait() or len(facts) < len(share):
            raise OSError(f"a process that draws fundi stopped:\n{process.stderr.read()[-2000:]}")
        return facts

    with ThreadPoolExecutor(len(shares)) as threads:
        try:
            found = list(threads.map(follow, running, shares))
        finally:
            for process in running:
                process.kill()
    return {key: fact for facts in found for key, fact in facts.items()}


def _work() -> None:
    """Draw the jobs that stdin names; say after each, in one line of JSON, what the label files need."""
    cv2.setNumThreads(1)
    order = json.load(sys.stdin)
    root, size = Path(order["root"]), (int(order["size"][0]), int(order["size"][1]))
    for values in order["jobs"]:
        job = Job(**values)
        fundus = draw(order["seed"], job.index, size, job.population)
        for path in job.photographs:
            (root / path).write_bytes(fundus.jpeg)
        masks = {**fundus.masks, "OD": fundus.optic_disc_mask}
        for kind, path in job.masks.items():
            if kind in masks:
                write = write_rgba_tif if job.odd and kind == "EX" else write_palette_tif
                write(root / path, masks[kind])
        print(json.dumps([fundus.dr, fundus.dme, fundus.optic_disc, fundus.fovea]), flush=True)


if __name__ == "__main__":
    _work()
