"""Curves of a training run: every series that was logged is drawn."""

import numpy as np
import pytest

from vidfeat.report.training import training_figure


def record(epoch, **more):
    rgb = np.full((2, 3), 1 / 3).tolist()
    return {
        "epoch": epoch, "loss": 1 / (epoch + 1), "accuracy": epoch / 4, "validation": None, "best": True, "lr": 0.01,
        "beta": {}, "stream_weights": {"rgb": 1.0}, **({"beta": {"rgb": rgb}} if more.pop("pyramids", False) else {}),
        **more,
    }  # fmt: skip


def test_loss_accuracy_and_rate():
    figure = training_figure([record(epoch) for epoch in range(4)])
    loss, accuracy, rate = figure.axes
    np.testing.assert_allclose(loss.lines[0].get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [0, 25, 50, 75])
    np.testing.assert_allclose(loss.lines[0].get_xdata(), [1, 2, 3, 4])
    assert rate.get_yscale() == "log" and len(accuracy.lines) == 1
    assert figure.axes[-1].get_xlabel() == "Epoch"


def test_the_kept_epoch_is_ringed():
    scores = [0.2, 0.8, 0.5]
    best = [True, True, False]
    history = [record(e, validation=v, best=b) for e, (v, b) in enumerate(zip(scores, best, strict=True))]
    ring = training_figure(history, "mean average precision").axes[1].lines[-1]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([2], [80.0])


def test_betas_and_stream_weights_have_panels_of_their_own():
    weights = {"rgb": 0.25, "flow": 0.75}
    figure = training_figure([record(epoch, pyramids=True, stream_weights=weights) for epoch in range(2)])
    assert [axes.get_ylabel() for axes in figure.axes[3:]] == ["β of the parts, rgb", "Weights of the streams"]
    assert len(figure.axes[3].lines) == 6
    assert [line.get_label() for line in figure.axes[4].lines] == ["rgb", "flow"]
    np.testing.assert_allclose(figure.axes[4].lines[1].get_ydata(), [0.75, 0.75])


@pytest.mark.parametrize("epochs", [0, 1, 50])
def test_any_number_of_epochs_can_be_drawn(epochs, tmp_path):
    training_figure([record(epoch, validation=0.5) for epoch in range(epochs)]).savefig(tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 1000
