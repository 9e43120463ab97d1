"""The curve of a run: its points are the losses, and its legend says what is what."""

import re

import numpy as np

from minigpt.study.curves import loss_curve


def test_a_loss_curve_has_a_point_for_every_step_of_a_short_run():
    page = loss_curve([1, 2, 3], [3.0, 2.0, 1.0], [3.0, 2.4, 1.8], [(3, 1.5)])
    raw = re.findall(r'points="([^"]+)"', page)[0].split()
    xs, ys = np.array([point.split(",") for point in raw], float).T
    np.testing.assert_allclose(np.diff(xs), np.diff(xs)[0], atol=0.11)      # written with one decimal
    np.testing.assert_allclose(np.diff(ys), np.diff(ys)[0], atol=0.11)
    assert ys[0] < ys[2]                                                    # in SVG y points down
    assert "step 3: validation loss 1.5000" in page
    assert re.findall(r"<text [^>]*>([a-z ]+)</text>", page[page.index('class="legend"') :]) == [
        "each batch", "running mean", "validation", "loss in nats per token"]


def test_a_run_of_one_step_has_a_curve():
    page = loss_curve([1], [2.0], [2.0], [])
    assert "<svg" in page
    assert "running mean" in page and "validation" not in page
