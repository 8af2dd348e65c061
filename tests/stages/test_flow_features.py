"""Network features of flow, alone and beside those of the frames."""

import threading

import cv2
import numpy as np
import pytest
import torch
from small import run_small, small
from tolerances import SAME_FEATURES
from videos import write_video

import vidfeat
from vidfeat.errors import UsageError
from vidfeat.features import Extractor, FlowInput
from vidfeat.flow import flow_method, quantise
from vidfeat.flow.raft import RAFT
from vidfeat.media.source import FrameSource
from vidfeat.media.transforms import Geometry
from vidfeat.media.video import VideoReader
from vidfeat.stages import encode, extract, predict, svm
from vidfeat.stages.config.encode import EncodeConfig
from vidfeat.stages.config.files import PredictConfig
from vidfeat.stages.config.svm import SvmTrainConfig
from vidfeat.store import diff, verify

FLOW = {"stream": "flow", "method": "dis", "flow_stack": 4}
CLIP = "v1.mp4"


@pytest.fixture(scope="module")
def clip(clips):
    return clips / "a" / CLIP


@pytest.fixture(scope="module")
def flow_features(clips, tmp_path_factory):
    output = tmp_path_factory.mktemp("flow") / "f.h5"
    assert run_small([clips], output, **FLOW, threads=2).exit_code == 0
    return output


def network(**options) -> Extractor:
    return Extractor("squeezenet1_1", ["avgpool"], weights="none", device="cpu", size=32, **options)


def levels_of(path, spec) -> tuple[np.ndarray, Geometry]:
    """Quantised flow of the frames resized as for the network, and the geometry that crops it."""
    geometry = Geometry("crop", spec.shorter_side, spec.size, False, spec.interpolation, spec.antialias)
    whole = Geometry("keep", spec.shorter_side, None, False, spec.interpolation, spec.antialias)
    with VideoReader(path) as video:
        frames = [whole(frame.image).movedim(0, -1).numpy() for frame in video.frames()]
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return quantise(flow_method("dis", "cpu")(grey), 20.0), geometry


def distance(rows, expected) -> float:
    return np.linalg.norm(rows - expected) / np.linalg.norm(expected - expected.mean(0))


def test_rows_are_those_of_each_stack_alone(clip, flow_features):
    extractor = network(flow=FlowInput("stack", 4))
    levels, geometry = levels_of(clip, extractor.input_spec)
    expected = []
    for k in range(len(levels) - 3):
        channels = [levels[k + i, axis] for i in range(4) for axis in (0, 1)]
        pixels = geometry.cropped(torch.from_numpy(np.stack(channels)))
        expected.append(extractor.submit(pixels[None]).result()["avgpool"][0])
    with vidfeat.open_features(flow_features) as stored:
        item = stored[f"a/{CLIP}"]
        assert item.columns == ["flow.avgpool", "flow.frame", "flow.time"]
        assert item["flow.frame"].tolist() == list(range(30 - 4))
        assert item["flow.time"].tolist() == [k / 25 for k in range(30 - 4)]
        assert distance(item["flow.avgpool"], np.stack(expected)) <= SAME_FEATURES
    assert verify(flow_features) == []


def test_both_streams_are_decoded_once_and_equal_each_alone(clips, features, flow_features, tmp_path, monkeypatch):
    opened, frames = [], FrameSource.__iter__

    def counted(self):
        opened.append(self._path)
        return frames(self)

    monkeypatch.setattr(FrameSource, "__iter__", counted)
    done = run_small([clips], tmp_path / "f.h5", **{**FLOW, "stream": "rgb,flow"})
    assert (done.exit_code, done.count, len(opened)) == (0, 104, 6)
    with (
        vidfeat.open_features(tmp_path / "f.h5") as both,
        vidfeat.open_features(features) as rgb,
        vidfeat.open_features(flow_features) as flow,
    ):
        assert both[f"a/{CLIP}"].names == ["avgpool", "flow.avgpool"]
        for item_id in both:
            assert np.array_equal(both[item_id].time, rgb[item_id].time)
            assert np.array_equal(both[item_id]["flow.time"], flow[item_id]["flow.time"])
            assert distance(both[item_id]["avgpool"], rgb[item_id]["avgpool"]) <= SAME_FEATURES
            assert distance(both[item_id]["flow.avgpool"], flow[item_id]["flow.avgpool"]) <= SAME_FEATURES
        assert both.settings["stream"] == "rgb,flow"
        assert both.settings["flow-input"]["length"] == 4
        assert {name: both.settings[name] for name in rgb.settings} == rgb.settings
    assert verify(tmp_path / "f.h5") == []


def test_raft_and_a_network_take_turns_on_the_cores(clip, tmp_path, monkeypatch):
    """Both compute with all threads inside of one call, so that two calls at a time would want twice the cores."""
    seen, busy, lock = set(), [0], threading.Lock()

    def watched(name, function):
        def call(*given):
            with lock:
                busy[0] += 1
                seen.add((name, torch.get_num_threads(), busy[0]))
            try:
                return function(*given)
            finally:
                with lock:
                    busy[0] -= 1

        return call

    for owner, name in ((RAFT, "_fields"), (Extractor, "submit")):
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    raft = {"method": "raft", "raft_model": "small", "raft_weights": "none", "raft_updates": 1, "max_seconds": 0.3}
    options = {"stream": "rgb,flow", "flow_stack": 2, "batch_size": 2, "threads": 3, **raft}
    before = torch.get_num_threads()
    assert run_small([clip], tmp_path / "f.h5", **options).exit_code == 0
    assert seen == {("_fields", 3, 1), ("submit", 3, 1)}
    assert torch.get_num_threads() == before


def test_flow_images_see_one_field_each(clip, tmp_path):
    run_small([clip], tmp_path / "f.h5", stream="flow", method="dis", flow_input="image", flow_stride=3)
    extractor = network(flow=FlowInput("image", 1))
    levels, geometry = levels_of(clip, extractor.input_spec)
    pixels = torch.stack([geometry.cropped(torch.from_numpy(field)) for field in levels[::3]])
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        assert stored[CLIP]["flow.frame"].tolist() == list(range(0, 29, 3))
        assert distance(stored[CLIP]["flow.avgpool"], extractor.submit(pixels).result()["avgpool"]) <= SAME_FEATURES


@pytest.mark.parametrize(("stride", "starts"), [(1, 26), (3, 9), (7, 4)])
def test_stacks_begin_every_stride_fields(clip, flow_features, tmp_path, stride, starts):
    """A stride longer than a stack leaves fields out between them."""
    run_small([clip], tmp_path / "f.h5", **FLOW, flow_stride=stride)
    with vidfeat.open_features(tmp_path / "f.h5") as stored, vidfeat.open_features(flow_features) as dense:
        item, every = stored[CLIP], dense[f"a/{CLIP}"]
        assert item["flow.frame"].tolist() == [k * stride for k in range(starts)]
        assert distance(item["flow.avgpool"], every["flow.avgpool"][::stride]) <= SAME_FEATURES


def test_mirrored_crops_turn_the_vectors_around(clip, tmp_path):
    run_small([clip], tmp_path / "f.h5", **FLOW, ten_crop=True)
    extractor = network(flow=FlowInput("stack", 4))
    levels, geometry = levels_of(clip, extractor.input_spec)
    stack = levels[5:9].reshape(8, *levels.shape[2:])
    mirrored = stack[..., ::-1].copy()
    mirrored[0::2] = 255 - mirrored[0::2]
    pixels = [geometry.cropped(torch.from_numpy(view.copy())) for view in (stack, mirrored)]
    expected = extractor.submit(torch.stack(pixels)).result()["avgpool"]
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        crops = stored[CLIP]["flow.avgpool"]
    assert crops.shape == (26, 10, 1000)
    # Centre and mirrored centre, in torchvision's order.
    assert distance(crops[5, [4, 9]], expected) <= SAME_FEATURES


def test_videos_shorter_than_a_stack_are_empty(clip, tmp_path):
    short = write_video(tmp_path / "short.mp4", 4, width=80, height=64)
    one = write_video(tmp_path / "one.mp4", 1, width=80, height=64)
    done = run_small([short, one, clip], tmp_path / "f.h5", **{**FLOW, "stream": "rgb,flow"})
    assert done.states == {"done": 1, "empty": 2}
    reasons = {failure.id.rpartition("/")[2]: failure.reason for failure in done.failures}
    assert reasons["short.mp4"] == "3 fields of flow are fewer than a stack of 4 (--flow-stack)"
    assert reasons["one.mp4"] == "one frame has no flow"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"bound": 10.0}, "bound"),
        ({"dis_preset": "fast"}, "dis-preset"),
        ({"flow_stack": 5}, "flow-input"),
        ({"flow_stride": 2}, "flow-stride"),
        ({"stream": "rgb,flow"}, "stream"),
        ({"seed": 1}, "flow-weights"),
    ],
)
def test_a_rerun_with_another_option_refuses_and_names_it(clips, flow_features, options, name):
    with pytest.raises(UsageError, match=rf"\b{name}: .*--overwrite"):
        run_small([clips], flow_features, **{**FLOW, **options})
    assert run_small([clips], flow_features, **FLOW).skipped == 6


def test_rgb_is_not_taken_for_both(clips, features, flow_features):
    for other, options in [(features, FLOW), (flow_features, {})]:
        for dry_run in (False, True):
            with pytest.raises(UsageError, match=r"\bstream: "):
                run_small([clips], other, dry_run=dry_run, **options)


def test_a_plan_counts_both_streams(clips, tmp_path):
    plan = extract.run(small([clips], tmp_path / "f.h5", dry_run=True, **{**FLOW, "stream": "rgb,flow"})).as_dict()
    assert (plan["frames"], plan["bytes"]) == (104, (104 + 104 - 6 * 4) * (4 * 1000 + 16))
    plan = extract.run(small([clips], tmp_path / "f.h5", dry_run=True, **FLOW)).as_dict()
    assert plan["frames"] == 104 - 6 * 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bound": 10.0}, "--bound 10.0 has no effect with --stream rgb, only with flow or rgb,flow"),
        ({"method": "dis"}, "--method dis has no effect with --stream rgb"),
        ({"flow_stack": 5}, "--flow-stack 5 has no effect with --stream rgb"),
        ({"stream": "flow", "tau": 0.1, "method": "dis"}, "--tau 0.1 has no effect with --method dis"),
        ({"stream": "flow", "flow_input": "image", "flow_stack": 5}, "--flow-input image and --flow-stack contradict"),
        ({"stream": "flow", "flow_stack": 0}, "--flow-stack is 0; it must be above 0"),
    ],
)
def test_options_without_effect_are_refused(clips, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        run_small([clips], tmp_path / "f.h5", **options)


def test_the_label_of_a_new_video_by_its_flow(clips, flow_features, tmp_path):
    encode.run(EncodeConfig(features=flow_features, output=tmp_path / "c.h5"))
    svm.train(SvmTrainConfig(codes=tmp_path / "c.h5", output=tmp_path / "R", C="1", leave_one_group_out=True))
    found = predict.run(PredictConfig(run=tmp_path / "R", inputs=[clips / "a" / CLIP], device="cpu"))
    assert (found.exit_code, len(found.predictions)) == (0, 1)


def test_timeout_decodes_both_views_in_a_child(clip, tmp_path):
    options = {**FLOW, "stream": "rgb,flow"}
    run_small([clip], tmp_path / "a.h5", **options)
    run_small([clip], tmp_path / "b.h5", timeout=60.0, **options)
    assert diff(tmp_path / "a.h5", tmp_path / "b.h5").equal()
