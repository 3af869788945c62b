"""The style of pictures: what `save` leaves, ticks, legends; and the sheet that shows every picture."""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from spiketype import pictures
from spiketype.train.tasks import MODULES

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import contact_sheet


@pictures.styled
def scatter(points: int) -> Figure:
    figure = Figure()
    axes = figure.subplots()
    x = np.random.default_rng(0).normal(size=(2, points))
    axes.scatter(*x, label="dots")
    axes.plot(*x[:, :10], label="a line")
    axes.set(xlabel="time (ms)")
    pictures.legend_beside(axes)
    return figure


def test_a_picture_is_saved_as_png_and_as_svg_with_its_words_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        path = pictures.save(scatter(100), tmp_path / f"{name}.png")
        assert path == tmp_path / f"{name}.png"
    for suffix in ("png", "svg"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    text = (tmp_path / "a.svg").read_text()
    assert ">time (ms)</text>" in text
    assert "<image" not in text
    assert len(list(tmp_path.iterdir())) == 4


def test_very_many_dots_are_an_image_in_the_svg_and_words_stay_words(tmp_path: Path) -> None:
    pictures.save(scatter(60_000), tmp_path / "many.png")
    text = (tmp_path / "many.svg").read_text()
    assert len(text) < 1_000_000
    assert "<image" in text
    assert ">time (ms)</text>" in text


def test_the_settings_of_a_users_program_are_neither_used_nor_changed() -> None:
    with matplotlib.rc_context({"axes.labelsize": 30}):
        drawn = scatter(3)
        assert matplotlib.rcParams["axes.labelsize"] == 30
    assert drawn.axes[0].xaxis.label.get_size() == pictures.STYLE["axes.labelsize"]


def test_a_legend_covers_no_data() -> None:
    figure = scatter(100)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_legend().get_window_extent().x0 >= axes.get_window_extent().x1


@pytest.mark.parametrize("ends", [(0.83, 0.92), (0.2, 0.3), (0.8, 1.3), (30, 400), (1e-6, 2.0), (0.011, 9.0)])
def test_logarithmic_axes_have_several_round_ticks(ends: tuple[float, float]) -> None:
    ticks = pictures.round_ticks(*ends)
    assert pictures.FEW_TICKS <= len(ticks) <= pictures.MANY_TICKS
    assert (ticks >= ends[0]).all()
    assert (ticks <= ends[1]).all()
    assert all(len(f"{tick:g}") <= 6 for tick in ticks)


def test_colours_are_told_apart_until_there_are_too_many() -> None:
    assert len(set(pictures.colours(13))) == 13
    assert len(pictures.colours(30)) == 30


def test_the_sheet_has_every_task_and_each_picture_once(tmp_path: Path) -> None:
    assert {task for task, _, _ in contact_sheet.RUNS.values()} == set(MODULES)
    for run in ("mtype", "cluster"):
        for name in ("confusion", "training", "inputs", "cells", "curves", "reliability", "more"):
            pictures.save(scatter(5), tmp_path / "runs" / run / "figures" / f"{name}.png")
    (tmp_path / "sheet-9.png").write_bytes(b"of an earlier sheet")
    shown = contact_sheet.pictures(tmp_path)
    assert next(iter(shown)) == "mtype: cells.png"
    assert len(shown) == 14
    written = contact_sheet.pages(shown, tmp_path)
    assert sorted(tmp_path.glob("sheet-*.png")) == written == [tmp_path / f"sheet-{k}.png" for k in (1, 2)]
    assert all(imread(path).shape[1] > 1000 for path in written)
