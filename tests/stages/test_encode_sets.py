"""Rank pooling with several values of C: one set per value, chosen among by 'svm train', used by 'predict'."""

import h5py
import numpy as np
import pytest
from small import run_small
from tolerances import FLOAT32

import vidfeat
from vidfeat.encoders import RankPool
from vidfeat.encoders.base import frames_of
from vidfeat.errors import UsageError
from vidfeat.metrics import temporal_order_error
from vidfeat.pooling import prepare_frames
from vidfeat.stages import encode, predict, svm
from vidfeat.stages.config.encode import EncodeConfig, parse_C
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.svm import SvmTrainConfig
from vidfeat.store import FeatureWriter, open_codes


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("pyramid", [1, 2])
def test_each_value_has_the_codes_of_its_own_run(features, tmp_path, direction, pyramid):
    options = {"features": features, "method": "rankpool", "direction": direction, "pyramid": pyramid}
    summary = encode.run(EncodeConfig(output=tmp_path / "all.h5", C="100,0.01,2", **options))
    assert summary.sets == ["C=0.01", "C=2", "C=100"]
    with open_codes(tmp_path / "all.h5") as several, vidfeat.open_features(features) as stored:
        assert sorted(several.sets) == sorted(summary.sets)
        for C in ("0.01", "2", "100"):
            encode.run(EncodeConfig(output=tmp_path / "one.h5", C=C, **options))
            with open_codes(tmp_path / "one.h5") as one:
                assert one.sets == ["default"]
                np.testing.assert_allclose(several.codes(f"C={C}"), one.codes(), atol=FLOAT32)
                assert several.blocks(f"C={C}") == one.blocks()
                np.testing.assert_allclose(several.order_error(f"C={C}"), one.order_error(), atol=0.01)
        errors = several.order_error("C=2")
        for row, item_id in enumerate(stored.ids):
            assert errors[row] == pytest.approx(plain_order_error(stored[item_id]["avgpool"], direction), abs=0.01)
        assert several.order_error("C=100").mean() < several.order_error("C=0.01").mean()


def plain_order_error(x, direction):
    errors = []
    for order in {"forward": [x], "both": [x, x[::-1].copy()]}[direction]:
        u = RankPool(normalize=False).transform([order])[0]
        errors.append(temporal_order_error(prepare_frames(frames_of(order)).numpy() @ u))
    return np.mean(errors)


def test_svm_train_chooses_and_predict_follows(clips, features, tmp_path):
    manifest = tmp_path / "m.csv"
    rows = [f"{label}/v{n}.mp4,{label},g{n},train" for n, label in enumerate("aabbcc")]
    manifest.write_text("id,label,group,split\n" + "\n".join(rows[:5]) + "\n" + rows[5].replace("train", "test") + "\n")
    encode.run(
        EncodeConfig(features=features, output=tmp_path / "c.h5", method="rankpool", C="0.1,...,10", manifest=manifest)
    )
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", set="C=10", C="10"))
    video = clips / "a" / "v0.mp4"
    answer = predict.run(PredictConfig(run=tmp_path / "R", inputs=[video], device="cpu"))
    run_small([video], tmp_path / "n.h5")
    encode.run(EncodeConfig(features=tmp_path / "n.h5", output=tmp_path / "nc.h5", method="rankpool", C="10"))
    with open_codes(tmp_path / "nc.h5") as codes:
        scores = svm.runs.read_run(tmp_path / "R").scores(codes.codes())[0]
    for name, value in answer.predictions[0]["scores"].items():
        assert value == pytest.approx(scores["abc".index(name)], abs=1e-5)


def test_a_video_of_one_frame_has_no_order(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id, T in (("a", 1), ("b", 4)):
            item = writer.item(item_id)
            item.append("fc7", np.random.default_rng(0).random((T, 4)).astype(np.float32))
            item.append("time", np.arange(float(T)))
            item.append("frame", np.arange(T))
            item.finish({"state": "done"})
    encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", method="rankpool", C="1,10"))
    with open_codes(tmp_path / "c.h5") as codes:
        assert np.isnan(codes.order_error("C=10")).tolist() == [True, False]


def test_a_video_with_nan_fails_alone_and_is_named(tmp_path):
    with FeatureWriter(tmp_path / "f.h5", {}, {}) as writer:
        for item_id in "abc":
            item = writer.item(item_id)
            item.append("fc7", np.random.default_rng(0).random((5, 8)).astype(np.float32))
            item.append("time", np.arange(5.0))
            item.append("frame", np.arange(5))
            item.finish({"state": "done"})
    with h5py.File(tmp_path / "f.h5", "r+") as file:  # vidfeat itself writes no such value
        file["items/b/fc7"][3, 2] = np.nan
    for method in ("rankpool", "approx-rankpool", "hier-rankpool"):
        summary = encode.run(EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", method=method))
        assert (summary.items, summary.exit_code, summary.failures[0].id) == (2, 1, "b")
        assert "NaN or infinite" in summary.failures[0].reason
    assert "b,failed,The video cannot be encoded" in (tmp_path / "c.h5.failures.csv").read_text()


@pytest.mark.parametrize(
    ("method", "options", "width"),
    [
        ("approx-rankpool", {"direction": "both", "map": "posneg"}, 4),
        ("hier-rankpool", {"window": 5, "window_stride": 2, "depth": 3}, 1),
        ("hier-rankpool", {"direction": "both", "pyramid": 2}, 6),
    ],
)
def test_other_rank_poolings_and_their_settings(features, tmp_path, method, options, width):
    summary = encode.run(EncodeConfig(features=features, output=tmp_path / "c.h5", method=method, **options))
    assert (summary.dimension, summary.exit_code) == (1000 * width, 0)
    with open_codes(tmp_path / "c.h5") as codes:
        kept = codes.provenance["encode"]
        assert kept["method"] == method and all(kept[name] == value for name, value in options.items())
        assert EncodeConfig(features=features, output=tmp_path / "d.h5", **kept).method == method


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2", [2.0]),
        ("10, 0.1,1", [0.1, 1.0, 10.0]),
        ("1e-3,...,1e3", [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0]),
        ("0.2,…,20,50", [0.2, 2.0, 20.0, 50.0]),
    ],
)
def test_several_values(text, values):
    assert parse_C(text) == values


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"C": "0"}, "--C is '0'; it must be a number above 0, or several joined by commas"),
        ({"C": "1,two"}, "--C is '1,two'"),
        ({"C": "1,inf"}, "above 0"),
        ({"C": "1,1.0"}, "has a value twice"),
        ({"C": "1,...,5"}, "from 1 to 5 are no whole powers of ten"),
        ({"C": "1,..."}, r"--C is '1,\.\.\.'"),
        ({"C": "1,2", "method": "hier-rankpool"}, r"--C has 2 values, which only --method rankpool takes\. Give one"),
        ({"epsilon": -1.0}, "--epsilon is -1.0; it must be 0 or more"),
        ({"window": 1}, "--window is 1; it must be 2 or more"),
        ({"window_stride": 0}, "--window-stride is 0; it must be above 0"),
    ],
)
def test_wrong_options_in_words(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        EncodeConfig(features=tmp_path / "f.h5", output=tmp_path / "c.h5", **{"method": "rankpool", **options})
