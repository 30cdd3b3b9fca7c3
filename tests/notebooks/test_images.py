"""Stored pictures are lighter and look the same: hues and small spots stay, photographs become JPEG."""

import base64
import io

import notebook_images as images
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

BLUE = (0, 114, 178)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def shown(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.fixture(scope="module")
def plot():
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3), dpi=80)
    axis.plot(np.sin(np.linspace(0, 9, 99)), color=np.array(BLUE) / 255, linewidth=4)
    axis.set_title("a line")
    buffer = io.BytesIO()
    figure.savefig(buffer)
    plt.close(figure)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photograph():
    ramp = np.linspace(0, 200, 300 * 400).reshape(300, 400, 1) + np.array([50, 20, 0])
    noise = np.random.default_rng(0).normal(0, 6, (300, 400, 3))
    return png((ramp + noise).clip(0, 255).astype(np.uint8))


def test_a_plot_keeps_its_hue_in_less_than_half_the_bytes(plot):
    kind, light = images.lightest(plot)
    assert kind == "image/png"
    assert 2 * len(light) < len(plot)
    line = (shown(plot) == BLUE).all(-1)
    assert line.sum() > 500
    assert (shown(light)[line] == BLUE).all()


def test_a_photograph_becomes_a_jpeg(photograph):
    kind, light = images.lightest(photograph)
    assert kind == "image/jpeg"
    assert 4 * len(light) < len(photograph)
    assert shown(light).shape == (300, 400, 3)


def test_a_small_red_spot_among_many_greys_stays_red():
    grey = np.random.default_rng(0).integers(60, 160, (200, 300, 1)).repeat(3, 2).astype(np.uint8)
    spot = np.random.default_rng(1).integers(200, 256, (12, 12))
    grey[50:62, 50:62] = np.dstack([spot, spot // 9, spot // 8])
    red = shown(images.lightest(png(grey))[1])[52:60, 52:60].reshape(-1, 3).mean(0)
    assert red[0] > 170
    assert max(red[1:]) < 80


def test_dots_of_two_oranges_keep_their_colours():
    picture = np.full((300, 580, 3), 255, np.uint8)
    for number in range(44):  # lines in many shades, of which each has more pixels than the dots
        shade = (0, 0, 80 + 4 * number) if number % 2 else (0, 60 + 4 * number, 60 + 2 * number)
        picture[5 + 5 * number : 8 + 5 * number, 20:560] = shade
    oranges = (213, 94, 0), (230, 159, 0)
    for column, orange in enumerate(oranges, 1):
        for row in (240, 255, 270):
            picture[row : row + 5, 100 * column : 100 * column + 5] = orange
    after = shown(images.lightest(png(picture))[1]).astype(int)
    assert all(np.abs(after[242, 100 * column + 2] - orange).max() <= 32 for column, orange in enumerate(oranges, 1))


def test_what_is_transparent_becomes_white():
    clear = np.zeros((50, 50, 4), np.uint8)
    clear[:25] = np.random.default_rng(0).integers(0, 256, (25, 50, 4))
    clear[:25, :, 3] = 255
    assert shown(images.lightest(png(clear))[1])[34:].min() > 250


def test_other_outputs_stay_and_the_same_picture_gives_the_same_bytes(plot, photograph):
    def stored():
        outputs = [
            new_output("display_data", data={"image/png": base64.b64encode(each).decode(), "text/plain": "<Figure>"})
            for each in (plot, photograph)
        ]
        notebook = new_notebook(cells=[new_code_cell("1", outputs=[*outputs, new_output("stream", text="1")])])
        images.lighten(notebook)
        return notebook.cells[0].outputs

    assert [sorted(output.get("data", {})) for output in stored()] == [
        ["image/png", "text/plain"],
        ["image/jpeg", "text/plain"],
        [],
    ]
    assert stored() == stored()
