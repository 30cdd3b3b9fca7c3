import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fundus_lib.errors import ArgumentError
from fundus_lib.viz import live_slider, slider


def frames(number: int = 3) -> list[np.ndarray]:
    return [np.full((30, 40, 3), 80 * i, np.uint8) for i in range(number)]


def pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]


def test_all_pictures_are_inside_and_the_chosen_one_is_shown():
    html = slider(frames(), [0.1, 0.2, 0.3], "Grey.", name="value", start=1)._repr_html_()
    assert [int(picture.mean().round()) for picture in pictures(html)] == [0, 80, 160]
    assert re.findall(r"<img [^>]*style=\"display:(\w+)", html) == ["none", "block", "none"]
    assert ">0.2</output>" in html


def test_a_frame_holds_only_what_differs_from_the_one_shown_first_and_the_page_lays_it_over_that():
    ramp = np.repeat(np.arange(0, 128, 2, dtype=np.uint8), 64 * 3).reshape(64, 64, 3)
    moved = [ramp.copy() for _ in range(3)]
    for place, frame in enumerate(moved):
        frame[8:16, 8 * place : 8 * place + 8] = 255
    html = slider(moved, "abc", "A square.", start=1, quality=90).html
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    layers = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA") for data in found]
    assert [(np.asarray(layer)[..., 3] > 0).sum() for layer in layers] == [128, 64 * 64, 128]
    for layer, frame in zip(layers, moved, strict=True):
        shown = np.asarray(Image.alpha_composite(layers[1], layer).convert("RGB")).astype(int)
        assert np.abs(shown[8:16, :24] - frame[8:16, :24]).mean() < 5
        assert (shown[16:] == np.asarray(layers[1].convert("RGB"))[16:]).all()
    assert "all[this.defaultValue]" in html
    assert 'step="1" value="1"' in html


def test_a_figure_wider_than_the_page_is_drawn_at_the_width_of_the_page():
    import matplotlib.pyplot as plt

    made = slider([plt.figure(figsize=(10, 1)) for _ in range(2)], "ab", "Nothing.", dpi=100)
    assert pictures(made.html)[0].shape == (73, 730, 3)


def test_nothing_is_loaded_and_nothing_is_named():
    html = slider(frames(), "abc", "Grey.").html
    assert "<script" not in html
    assert " id=" not in html
    assert not re.search(r'(src|href)="(?!data:)', html)


def test_the_same_pictures_give_the_same_bytes_in_another_process():
    code = (
        "import numpy as np; from fundus_lib.viz import slider;"
        "print(slider([np.full((30, 40, 3), 80 * i, np.uint8) for i in range(3)], 'abc', 'Grey.').html)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == slider(frames(), "abc", "Grey.").html


def test_it_can_be_read_out():
    html = slider(frames(), "abc", "Grey & <black>.", name="value").html
    assert html.count("alt=") == 3
    assert 'alt="Grey &amp; &lt;black&gt;. value b"' in html
    assert 'aria-label="value"' in html
    assert 'aria-valuetext="a"' in html
    assert "<black>" not in html


def test_figures_become_frames_of_one_size_and_are_closed():
    import matplotlib.pyplot as plt

    figures = []
    for title in ("short", "a much longer title\nof two lines"):
        figure, axis = plt.subplots(figsize=(3, 2))
        axis.set_title(title)
        figures.append(figure)
    with plt.rc_context({"savefig.bbox": "tight"}):
        made = slider(figures, ["one", "two"], "Titles.", dpi=50)
    assert [picture.shape for picture in pictures(made.html)] == [(100, 150, 3)] * 2
    assert not plt.get_fignums()


def test_a_slider_too_large_for_a_page_is_refused_with_the_remedy():
    noise = list(np.random.default_rng(0).integers(0, 256, (8, 600, 800, 3), dtype=np.uint8))
    with pytest.raises(ArgumentError, match=r"at most 1 MB\n.*shrink each side to \d+%"):
        slider(noise, range(8), "Noise.")


@pytest.mark.parametrize(
    ("pictures", "labels", "start"),
    [([], [], 0), (frames(), "ab", 0), (frames(), "abc", 3), ([*frames(1), np.zeros((9, 9, 3), np.uint8)], "ab", 0)],
)
def test_what_does_not_fit_is_refused(pictures, labels, start):
    with pytest.raises(ArgumentError):
        slider(pictures, labels, "Grey.", start=start)


def test_the_live_twin_shows_the_same_and_is_stored_without_a_widget():
    def draw(value: int) -> np.ndarray:
        return np.full((30, 40, 3), value, np.uint8)

    stored = live_slider(draw, [0, 80, 160], "Grey.", name="value")
    assert stored.html == slider(frames(), [0, 80, 160], "Grey.", name="value").html


def test_the_live_twin_draws_on_demand():
    pytest.importorskip("ipywidgets")
    drawn = []

    def draw(value: int) -> np.ndarray:
        drawn.append(value)
        return np.zeros((30, 40, 3), np.uint8)

    box = live_slider(draw, [0, 80, 160], "Grey.", name="value", start=1, live=True)
    choice = box.children[0].children[0]
    assert choice.value == 80
    choice.value = 160
    assert drawn[-1] == 160
    assert 0 not in drawn
