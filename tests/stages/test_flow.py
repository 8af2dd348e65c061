"""The flow stage on real and synthetic videos: what is stored, what a rerun does, what fails and how."""

import csv
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small import run_flow, small_flow
from videos import flat_picture, write_video

import vidfeat
from vidfeat.errors import UsageError
from vidfeat.flow import dequantise, flow_method, quantise
from vidfeat.flow.opencv_methods import DIS
from vidfeat.media.transforms import Geometry
from vidfeat.media.video import VideoReader
from vidfeat.stages import computers, flow, job, merge
from vidfeat.stages.config.extract import ExtractConfig
from vidfeat.stages.config.files import MergeConfig
from vidfeat.stages.extract_request import repeatable_options
from vidfeat.stages.recipe import FlowRecipe
from vidfeat.store import diff, summary, verify


def decoded(path) -> tuple[np.ndarray, np.ndarray]:
    """Frames [T, H, W, 3] and their times."""
    with VideoReader(path) as video:
        frames = list(video.frames())
    return np.stack([frame.image for frame in frames]), np.array([frame.time for frame in frames])


def fields_one_by_one(frames, name="dis", **settings) -> np.ndarray:
    """Every pair alone, by the method itself: pixels."""
    method = flow_method(name, "cpu", **settings)
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    pairs = grey if method.wants == "grey" else frames
    return np.concatenate([method(pairs[k : k + 2]) for k in range(len(pairs) - 1)])


@pytest.fixture(scope="module")
def fields(clips, tmp_path_factory):
    """Flow of ``clips`` from one uninterrupted run."""
    output = tmp_path_factory.mktemp("flow") / "flow.h5"
    assert run_flow([clips], output).exit_code == 0
    return output


def test_stored_levels_are_those_of_each_pair_alone(clips, fields):
    """Pieces that are computed side by side, each with the last frame of the one before, change nothing."""
    with vidfeat.open_features(fields) as stored:
        assert stored.ids == ["a/v0.mp4", "a/v1.mp4", "b/v2.mp4", "b/v3.mp4", "c/v4.mp4", "c/v5.mp4"]
        for item_id in ("a/v1.mp4", "b/v2.mp4"):
            frames, times = decoded(clips / item_id)
            item = stored[item_id]
            pixels = fields_one_by_one(frames)
            assert np.abs(pixels).max() > 1
            assert item.columns == ["flow", "flow.frame", "flow.time"]
            assert np.array_equal(item["flow"], quantise(pixels, 20.0))
            assert np.array_equal(item["flow.time"], times[:-1])
            assert item["flow.frame"].tolist() == list(range(len(frames) - 1))
            assert item.labels == (item_id[0],)
    assert verify(fields) == []


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_how_many_pairs_go_into_a_call_changes_nothing(clips, fields, tmp_path, batch_size):
    run_flow([clips], tmp_path / "f.h5", batch_size=batch_size, threads=1, workers=2)
    assert all(found.relative == 0 for found in diff(fields, tmp_path / "f.h5").features.values())
    assert diff(fields, tmp_path / "f.h5").equal()


@pytest.mark.parametrize("backend", [None, "opencv"])
def test_tvl1(clips, tmp_path, backend):
    path, settings = clips / "b" / "v2.mp4", {"scales": 2, "warps": 2}
    given = {"backend": backend} if backend else {}
    run_flow([path], tmp_path / "f.h5", method="tvl1", max_seconds=0.17, **settings, **given)
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        assert stored.settings["implementation"] == (backend or "vidfeat")
        assert (stored.settings["scales"], stored.settings["lambda"]) == (2, 0.15)
        levels = stored["v2.mp4"]["flow"]
    expected = fields_one_by_one(decoded(path)[0][: len(levels) + 1], "tvl1", **settings, **given)
    assert len(levels) == 4
    assert np.array_equal(levels, quantise(expected, 20.0))


def test_raft_sees_colour(clips, tmp_path):
    settings = {"model": "small", "weights": "none", "updates": 1}
    options = {f"raft_{name}": value for name, value in settings.items()}
    path = clips / "b" / "v2.mp4"
    run_flow([path], tmp_path / "f.h5", method="raft", max_seconds=0.09, dtype="float16", **options)
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        assert stored.settings["raft-weights"].startswith("none:")
        stored_fields = stored["v2.mp4"]["flow"]
    expected = fields_one_by_one(decoded(path)[0][:3], "raft", **settings)
    assert np.abs(stored_fields - expected).max() <= 2e-3 * np.abs(expected).max()


@pytest.mark.parametrize(("size", "height", "width"), [("48", 48, 60), ("48x36", 36, 48)])
def test_frames_are_resized_before_the_flow(clips, tmp_path, size, height, width):
    path = clips / "b" / "v2.mp4"
    run_flow([path], tmp_path / "f.h5", size=size)
    resized = Geometry("warp", None, (height, width))
    frames = np.stack([resized(frame).movedim(0, -1).numpy() for frame in decoded(path)[0]])
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        levels = stored["v2.mp4"]["flow"]
    assert levels.shape == (8, 2, height, width)
    assert np.array_equal(levels, quantise(fields_one_by_one(frames), 20.0))


def test_float16_holds_pixels_without_a_bound(clips, fields, tmp_path):
    path = clips / "b" / "v2.mp4"
    run_flow([path], tmp_path / "f.h5", dtype="float16")
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        item = stored["v2.mp4"]
        pixels, notes = item["flow"], item.notes("flow")
        assert "bound" not in stored.settings
    assert pixels.dtype == np.float16
    assert np.array_equal(pixels, fields_one_by_one(decoded(path)[0]).astype(np.float16))
    assert (notes["step"], notes["unit"], "bound" in notes) == (1, "pixels", False)
    with pytest.raises(UsageError, match="--bound 40 has no effect with --dtype float16"):
        small_flow([path], tmp_path / "f.h5", dtype="float16", bound=40.0)


def test_attributes_say_what_the_levels_mean(clips, tmp_path):
    path = clips / "b" / "v2.mp4"
    run_flow([path], tmp_path / "f.h5", bound=5.0)
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        levels, notes = stored["v2.mp4"]["flow"], stored["v2.mp4"].notes("flow")
    assert (notes["bound"], notes["step"]) == (5.0, 1)
    np.testing.assert_allclose((levels - notes["zero"]) * notes["scale"], dequantise(levels, 5.0), rtol=1e-6)
    pixels = fields_one_by_one(decoded(path)[0])
    inside = np.abs(pixels) < 5
    assert np.abs(dequantise(levels, 5.0) - pixels)[inside].max() <= 5 / 255 * (1 + 1e-5)


def test_sampling_comes_before_the_pairs(clips, tmp_path):
    path = clips / "a" / "v1.mp4"
    run_flow([path], tmp_path / "f.h5", stride=3)
    frames, times = decoded(path)
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        item = stored["v1.mp4"]
        assert item["flow.frame"].tolist() == list(range(0, 27, 3))
        assert np.array_equal(item["flow.time"], times[:27:3])
        assert np.array_equal(item["flow"], quantise(fields_one_by_one(frames[::3]), 20.0))


def test_one_frame_is_empty_and_the_rest_is_kept(clips, tmp_path):
    write_video(tmp_path / "one.mp4", 1)
    cv2.imwrite(str(tmp_path / "photo.png"), flat_picture(0, 20, 20))
    done = run_flow([tmp_path / "one.mp4", tmp_path / "photo.png", clips / "b"], tmp_path / "f.h5")
    assert (done.exit_code, done.states) == (1, {"done": 2, "empty": 2})
    with (tmp_path / "f.h5.failures.csv").open() as file:
        rows = {row["id"].rpartition("/")[2]: (row["state"], row["reason"]) for row in csv.DictReader(file)}
    assert rows == dict.fromkeys(("one.mp4", "photo.png"), ("empty", "one frame has no flow"))


def test_every_real_video_and_the_audio_file(real_videos, tmp_path):
    inputs = sorted(real_videos.iterdir())
    done = run_flow(inputs, tmp_path / "f.h5", max_seconds=0.3, dis_preset="ultrafast", size="160x120")
    assert [(failure.id, failure.state) for failure in done.failures] == [("audio_only.mp3", "failed")]
    assert verify(tmp_path / "f.h5") == []
    facts = summary(tmp_path / "f.h5")
    assert facts["items"] == len(inputs) - 1
    assert facts["features"]["flow"]["row_shapes"] == [[2, 120, 160]]
    assert facts["fields"] == facts["features"]["flow"]["rows"] == done.count


def test_a_rerun_has_nothing_to_do_and_names_what_differs(clips, fields):
    before = fields.read_bytes()
    again = run_flow([clips], fields, batch_size=2, workers=3, threads=1, decode_threads=2)
    assert (again.skipped, again.count, again.exit_code) == (6, 0, 0)
    for options, name in [
        ({"bound": 40.0}, "bound"),
        ({"fps": 5.0}, "fps"),
        ({"size": "32"}, "size"),
        ({"dtype": "float16"}, "dtype"),
        ({"dis_preset": "fast"}, "dis-preset"),
        ({"method": "farneback", "farneback_levels": 2}, "method"),
    ]:
        with pytest.raises(UsageError, match=rf"\b{name}: .*--overwrite"):
            run_flow([clips], fields, **options)
        with pytest.raises(UsageError, match=rf"\b{name}: .*--overwrite"):
            run_flow([clips], fields, dry_run=True, **options)
    assert fields.read_bytes() == before


def test_shards_merged_equal_one_run(clips, fields, tmp_path):
    for index in range(2):
        run_flow([clips], tmp_path / "f.h5", shard=f"{index}/2")
    shards = [tmp_path / f"f.shard-{index:03d}-of-002.h5" for index in range(2)]
    merge.run(MergeConfig(shards=shards, output=tmp_path / "f.h5"))
    assert diff(fields, tmp_path / "f.h5").equal()
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        assert stored["a/v0.mp4"].notes("flow")["bound"] == 20.0


def test_what_a_device_process_is_sent_computes_the_same(clips, fields, tmp_path, monkeypatch):
    """As with several devices, without the seconds that a process takes to start (tests of devices.py have those)."""

    def sent(given, plan, *others):
        plan = pickle.loads(pickle.dumps(plan))
        run_one(computers.Computers(plan.recipe, "cpu", plan.threads), plan, *others)

    run_one = job.run_one
    monkeypatch.setattr(job, "run_one", sent)
    run_flow([clips], tmp_path / "f.h5")
    assert diff(fields, tmp_path / "f.h5").equal()


def test_a_damaged_file_fails_alone_and_is_tried_again(clips, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(clips / "b", folder)
    (folder / "text.avi").write_text("no video")
    first = run_flow([folder], tmp_path / "f.h5")
    assert (first.exit_code, first.states) == (1, {"done": 2, "failed": 1})
    shutil.copy(clips / "a" / "v0.mp4", folder / "text.avi")
    second = run_flow([folder], tmp_path / "f.h5")
    assert (second.exit_code, second.skipped, second.states) == (0, 2, {"done": 1})


def test_where_all_failed_another_method_may_follow(clips, tmp_path):
    (tmp_path / "text.avi").write_text("no video")
    output = tmp_path / "f.h5"
    run_flow([tmp_path / "text.avi"], output)
    inputs = [tmp_path / "text.avi", clips / "b" / "v2.mp4"]
    plan = run_flow(inputs, output, method="farneback", dry_run=True).as_dict()
    assert (plan["items"], plan["skipped"]) == (2, 0)
    again = run_flow(inputs[1:], output, method="farneback")
    assert (again.states, again.failures) == ({"done": 1}, [])
    assert not (tmp_path / "f.h5.failures.csv").exists()
    assert summary(output)["settings"]["method"] == "farneback"


def test_flow_that_is_not_finite_fails_its_item_only(clips, tmp_path, monkeypatch):
    compute = DIS._fields

    def broken(self, frames):
        pixels = compute(self, frames)
        if frames.shape[1] == 30:
            pixels[0, 0, 3, 4] = np.nan
        return pixels

    monkeypatch.setattr(DIS, "_fields", broken)
    write_video(tmp_path / "odd.mp4", 5, width=40, height=30)
    done = run_flow([tmp_path / "odd.mp4", clips / "b" / "v2.mp4"], tmp_path / "f.h5")
    assert done.states == {"done": 1, "failed": 1}
    assert "1 components that are NaN or infinite" in done.failures[0].reason


def test_pictures_too_small_for_the_method_fail_with_its_words(tmp_path):
    write_video(tmp_path / "tiny.mkv", 4, width=10, height=8, codec="ffv1", pixel_format="bgr0")
    done = run_flow([tmp_path / "tiny.mkv"], tmp_path / "f.h5")
    assert done.states == {"failed": 1}
    assert "dis cannot take pictures of 10x8 pixels" in done.failures[0].reason


def test_dry_run_counts_and_writes_nothing(clips, tmp_path):
    write_video(tmp_path / "one.mp4", 1)
    plan = flow.run(small_flow([clips, tmp_path / "one.mp4"], tmp_path / "f.h5", dry_run=True, size="40x32")).as_dict()
    assert (plan["items"], plan["fields"], plan["unreadable"]) == (7, 104 - 6, 0)
    assert plan["bytes"] == (104 - 6) * (2 * 40 * 32 + 16)
    plan = flow.run(small_flow([clips], tmp_path / "f.h5", dry_run=True, dtype="float16")).as_dict()
    assert plan["bytes"] == (104 - 6) * (2 * 2 * 80 * 64 + 16)
    assert [path.name for path in tmp_path.iterdir()] == ["one.mp4"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda:0"}, "0 CUDA devices .*Use --device cpu"),
        ({"method": "tvl1", "backend": "triton"}, "'triton' computes on cuda, not on cpu"),
        ({"method": "tvl1", "tau": 0.0}, "tau is 0.0; it must be above 0"),
        ({"method": "raft", "raft_weights": "nofile.pth"}, "nofile.pth.* does not exist"),
        ({"size": "big"}, "--size is 'big'; it must be the shorter side"),
        ({"bound": 0.0}, "--bound is 0; it must be a number of pixels above 0"),
        ({"bound": float("inf")}, "--bound is inf"),
        ({"tau": 0.1}, "--tau 0.1 has no effect with --method dis, only with tvl1"),
        ({"farneback_gaussian": True}, "--farneback-gaussian has no effect with --method dis, only with farneback"),
        ({"shard": "2/2"}, "2/2"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(clips, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        run_flow([clips], tmp_path / "f.h5", **options)
    assert list(tmp_path.iterdir()) == []


def test_devices_of_methods_that_know_only_the_cpu(monkeypatch):
    monkeypatch.setattr(flow, "resolve_devices", lambda spec: ["cuda:0", "cuda:1"] if spec == "auto" else [spec])
    assert flow.flow_devices("auto", FlowRecipe("tvl1")) == ["cuda:0", "cuda:1"]
    assert flow.flow_devices("auto", FlowRecipe("dis")) == ["cpu"]
    assert flow.flow_devices("auto", FlowRecipe("tvl1", {"backend": "opencv"})) == ["cpu"]
    with pytest.raises(UsageError, match="--device cuda:1: --method dis computes on the CPU only"):
        flow.flow_devices("cuda:1", FlowRecipe("dis"))
    with pytest.raises(UsageError, match="--device cuda:0: --backend numba computes on the CPU only"):
        flow.flow_devices("cuda:0", FlowRecipe("tvl1", {"backend": "numba"}))


def test_pairs_of_a_call_fill_a_core_or_a_gpu():
    computer = computers.FlowComputer(FlowRecipe("dis"), "cpu", threads=3)
    assert (computer.lanes, computer.joins) == (3, False)
    assert [computer.pairs(shape) for shape in [(10, 10), (240, 320), (2160, 3840, 3)]] == [32, 3, 1]
    serial = computers.FlowComputer(FlowRecipe("raft", {"weights": "none", "model": "small"}), "cpu", threads=3)
    assert (serial.lanes, serial.one_core) == (1, False)


def test_a_gpu_gets_many_pairs_and_methods_that_know_none_stay_on_the_cpu(monkeypatch):
    made = []
    monkeypatch.setattr(computers, "flow_method", lambda *given, **settings: made.append((given, settings)))
    on_gpu = computers.FlowComputer(FlowRecipe("tvl1"), "cuda:1", threads=4)
    assert (on_gpu.device, on_gpu.joins, on_gpu.one_core, on_gpu.lanes) == ("cuda:1", True, False, 2)
    assert on_gpu.pairs((240, 320)) > 100
    for recipe in (FlowRecipe("dis"), FlowRecipe("tvl1", {"backend": "opencv"})):
        beside = computers.FlowComputer(recipe, "cuda:1", threads=4)
        assert (beside.device, beside.joins, beside.lanes) == ("cpu", False, 4)
    assert [(given, settings["threads"]) for given, settings in made] == [
        (("tvl1", "cuda:1"), None),
        (("dis", "cpu"), 1),
        (("tvl1", "cpu"), 1),
    ]


def test_a_run_does_not_repeat_the_backend_of_the_device_it_was_made_on():
    """Numba's and Triton's fields are the same; OpenCV's are chosen on purpose."""
    for backend, repeated in ((None, False), ("numba", False), ("opencv", True)):
        config = ExtractConfig(
            inputs=[Path("a.mp4")],
            output=Path("a.h5"),
            backbone="alexnet",
            layers="fc7",
            stream="flow",
            backend=backend,
        )
        assert ("backend" in repeatable_options(config)) == repeated
