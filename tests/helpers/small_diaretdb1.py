"""DiaRetDB1 2.1 and 1.1 in small, in their layouts."""

import numpy as np
from PIL import Image

SIZE = (115, 150)
CIRCLE = (
    "<circleregion><centroid><coords2d>{x},{y}</coords2d></centroid><radius direction='x'>{r}</radius></circleregion>"
)
ELLIPSE = (
    "<ellipseregion><centroid><coords2d>{x},{y}</coords2d></centroid><radius direction='x'>{a}</radius>"
    "<radius direction='y'>{b}</radius><angle>{angle}</angle></ellipseregion>"
)


def polygon(*corners):
    x, y = np.mean(corners, axis=0)
    points = "".join(f"<coords2d>{cx},{cy}</coords2d>" for cx, cy in corners)
    return f"<polygonregion><centroid><coords2d>{x:.0f},{y:.0f}</coords2d></centroid>{points}</polygonregion>"


def marking(region, confidence="High", kind="Hard_exudates"):
    return (
        f"<marking>{region}<representativepoint><coords2d>1,1</coords2d></representativepoint>"
        f"<confidencelevel>{confidence}</confidencelevel><markingtype>{kind}</markingtype></marking>"
    )


def xml(*markings):
    head = "<?xml version='1.0' encoding='UTF-8'?><imgannotooldata><header><creator>ImgAnnoTool</creator></header>"
    return f"{head}<markinglist>{''.join(markings)}</markinglist></imgannotooldata>"


def disc(x, y, r):
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= r**2


def write_v21(root):
    """Two photographs for training, one for testing. On the first, expert e marks what `EXPERTS` says."""
    (root / "images").mkdir(parents=True)
    (root / "groundtruth").mkdir()
    for split, numbers in (("train", (1, 3)), ("test", (2,))):
        rows = []
        for n in numbers:
            name = f"diaretdb1_image{n:03d}"
            Image.fromarray(np.full((*SIZE, 3), n, np.uint8)).save(root / "images" / f"{name}.png")
            marks = [f"groundtruth/{name}_{e:02d}_plain.xml" for e in range(1, 5)]
            for e, path in enumerate(marks):
                (root / path).write_text(EXPERTS[e] if n == 1 else xml())
            rows.append(" ".join([f"images/{name}.png", *marks]))
        (root / f"ddb1_v02_01_{split}_plain.txt").write_text("\n".join(rows) + "\n")


SURE, LIKELY, HARDLY = (CIRCLE.format(x=x, y=40, r=9) for x in (20, 60, 100))
EXPERTS = [
    xml(marking(SURE), marking(LIKELY, "Medium"), marking(HARDLY, "Low"), marking(SURE, kind="Disc")),
    xml(marking(SURE), marking(LIKELY, "Medium"), marking(HARDLY), marking(SURE, kind="Haemorrhages")),
    xml(marking(SURE), marking(LIKELY, "Medium"), marking(HARDLY), marking(LIKELY, "High", "Red_small_dots")),
    xml(marking(LIKELY, "Low"), marking(LIKELY, "Medium"), marking(HARDLY, "Low")),
]


def write_v11(root):
    """Version 1.1: exudates in three columns of rising confidence, 0.5, 0.75 (stored as 191) and 1."""
    for split, names in (("train", ["image001.png"]), ("test", ["image002.png", "image005.png"])):
        lists = root / "resources" / f"{split}datasets"
        lists.mkdir(parents=True)
        (lists / f"{split}set.txt").write_text("\n".join(names) + "\n")
        for name in names:
            write(root / "resources/images/ddb1_fundusimages" / name, np.full((*SIZE, 3), 9, np.uint8))
            for folder in ("hardexudates", "softexudates", "hemorrhages", "redsmalldots"):
                levels = np.zeros(SIZE, np.uint8)
                if folder == "hardexudates":
                    levels[:, 30:60], levels[:, 60:90], levels[:, 90:120] = 127, 191, 255
                write(root / "resources/images/ddb1_groundtruth" / folder / name, levels)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
