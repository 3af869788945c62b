"""Shapes unlike those that were trained on are flagged, others are not."""

import numpy as np

from spiketype.models.usual import Usual


def test_unusual_shapes_are_flagged():
    rng = np.random.default_rng(0)
    t = np.arange(160) / 40 - 1
    width = rng.uniform(0.8, 1.6, 60)[:, None]
    known = -80 * np.exp(-((t / 0.08) ** 2)) + 14 * np.exp(-(((t - width) / 0.4) ** 2)) + rng.normal(0, 0.3, (60, 160))
    shapes = Usual.of(known[:50])
    assert (shapes.distance(known[50:]) > shapes.limit).sum() <= 1
    strange = np.stack([np.sin(8 * t), -known[0], known[0][::-1]])
    assert (shapes.distance(strange) > 2 * shapes.limit).all()
