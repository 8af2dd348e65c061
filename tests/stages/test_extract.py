"""The extraction stage on real and synthetic videos: what is stored, what a rerun does, what fails and how."""

import csv
import os
import shutil
import signal
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from small import run_small, small
from tolerances import SAME_FEATURES
from torchvision.models import get_model
from videos import cut_in_half, write_video

import vidfeat
from vidfeat.errors import StorageError, UsageError
from vidfeat.features import Extractor
from vidfeat.media.child import ChildSource
from vidfeat.media.stream import ItemStream
from vidfeat.media.transforms import Geometry
from vidfeat.stages import extract, job, merge
from vidfeat.stages.config.files import MergeConfig
from vidfeat.store import diff, verify


def plain_count(path: Path) -> int:
    """Frames that demuxing and decoding the best video stream yields, with nothing of vidfeat."""
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        return sum(len(packet.decode()) for packet in container.demux(stream))


def test_every_real_video_and_the_audio_file(real_videos, tmp_path):
    inputs = sorted(real_videos.iterdir())
    summary = run_small(inputs, tmp_path / "f.h5")
    assert summary.exit_code == 1
    assert [failure.id for failure in summary.failures] == ["audio_only.mp3"]
    assert "no video stream" in summary.failures[0].reason
    with (tmp_path / "f.h5.failures.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["audio_only.mp3"]
    with vidfeat.open_features(tmp_path / "f.h5") as features:
        assert features.ids == [path.name for path in inputs if path.name != "audio_only.mp3"]
        for path in inputs[:]:
            if path.name in features:
                item = features[path.name]
                assert len(item.time) == len(item["avgpool"]) == plain_count(path), path.name
                assert (np.diff(item.time) > 0).all()
                assert (item.frame == np.arange(len(item.frame))).all()
                assert item.attrs["state"] == "done"
    assert verify(tmp_path / "f.h5") == []


def test_stored_rows_are_those_of_the_frames_one_by_one(clips, features):
    """Batches that cross videos change nothing: the oracle runs each frame alone through a separate extractor."""
    extractor = Extractor("squeezenet1_1", ["avgpool"], weights="none", device="cpu", size=32)
    spec = extractor.input_spec
    geometry = Geometry("crop", spec.shorter_side, spec.size, False, spec.interpolation, spec.antialias)
    path = clips / "b" / "v2.mp4"
    with ItemStream(path, geometry=geometry) as stream:
        alone = np.concatenate([extractor.submit(pixels[None]).result()["avgpool"] for _, _, pixels in stream])
    with vidfeat.open_features(features) as stored:
        rows = stored["b/v2.mp4"]["avgpool"]
    assert np.linalg.norm(rows - alone) <= SAME_FEATURES * np.linalg.norm(alone - alone.mean(0))


def test_labels_groups_and_ids_of_folders(features):
    with vidfeat.open_features(features) as stored:
        assert stored.ids == ["a/v0.mp4", "a/v1.mp4", "b/v2.mp4", "b/v3.mp4", "c/v4.mp4", "c/v5.mp4"]
        assert [stored[i].labels for i in stored.ids] == [("a",), ("a",), ("b",), ("b",), ("c",), ("c",)]
        assert stored["a/v1.mp4"]["avgpool"].shape == (30, 1000)


def test_a_rerun_has_nothing_to_do_and_leaves_the_file(clips, features):
    before = features.read_bytes()
    summary = run_small([clips], features)
    assert (summary.skipped, summary.count, summary.exit_code) == (6, 0, 0)
    assert features.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"fps": 5.0}, "fps"),
        ({"stride": 2}, "stride"),
        ({"size": 48}, "size"),
        ({"warp": True}, "resize"),
        ({"layers": "features.1"}, "layers"),
        ({"seed": 1}, "weights"),
        ({"precision": "bf16"}, "precision"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_a_rerun_with_another_option_refuses_and_names_it(clips, features, options, name):
    with pytest.raises(UsageError, match=rf"\b{name}: .*--overwrite"):
        run_small([clips], features, **options)


def test_options_that_do_not_change_numbers_may_differ(clips, features):
    assert run_small([clips], features, batch_size=3, workers=2, decode_threads=2).skipped == 6


def test_new_items_join_the_file(clips, tmp_path):
    folder, output = tmp_path / "set", tmp_path / "f.h5"
    shutil.copytree(clips / "a", folder / "a")
    run_small([folder], output)
    shutil.copytree(clips / "b", folder / "b")
    summary = run_small([folder], output)
    assert (summary.skipped, summary.states) == (2, {"done": 2})
    with vidfeat.open_features(output) as stored:
        assert len(stored) == 4
    assert not (tmp_path / "f.h5.parts").exists()


def test_a_changed_source_is_done_again_and_said(tmp_path, caplog):
    video, output = tmp_path / "v.mp4", tmp_path / "f.h5"
    write_video(video, 10)
    run_small([video], output)
    write_video(video, 14)
    os.utime(video, (1, 1))
    summary = run_small([video], output)
    assert summary.states == {"done": 1}
    assert "v.mp4: the source file or segment has changed" in caplog.text
    with vidfeat.open_features(output) as stored:
        assert len(stored["v.mp4"].time) == 14


def test_overwrite_starts_anew(clips, tmp_path):
    output = tmp_path / "f.h5"
    run_small([clips / "a"], output)
    summary = run_small([clips / "a"], output, fps=5.0, overwrite=True)
    assert (summary.skipped, summary.states) == (0, {"done": 2})


def test_bad_files_fail_alone_and_are_tried_again(clips, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(clips / "a", folder)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.avi").write_text("no video")
    output = tmp_path / "f.h5"
    summary = run_small([folder], output)
    assert summary.exit_code == 1
    assert sorted(failure.id for failure in summary.failures) == ["empty.mp4", "text.avi"]
    assert summary.states["done"] == 2
    shutil.copy(clips / "a" / "v0.mp4", folder / "empty.mp4")
    (folder / "text.avi").unlink()
    summary = run_small([folder], output)
    assert (summary.exit_code, summary.skipped, summary.states) == (0, 2, {"done": 1})
    assert not (tmp_path / "f.h5.failures.csv").exists()


def test_a_truncated_video_is_kept_with_a_warning_or_fails_when_strict(tmp_path, caplog):
    cut_in_half(write_video(tmp_path / "whole.mkv", 60), tmp_path / "cut.mkv")
    summary = run_small([tmp_path / "cut.mkv"], tmp_path / "f.h5")
    assert (summary.states, summary.exit_code) == ({"truncated": 1}, 0)
    assert "cut.mkv is truncated and kept" in caplog.text
    strict = run_small([tmp_path / "cut.mkv"], tmp_path / "g.h5", strict=True)
    assert (strict.states, strict.exit_code) == ({"failed": 1}, 1)
    assert strict.failures[0].reason.startswith("truncated: ")


def test_strict_takes_up_what_an_earlier_run_kept(tmp_path):
    cut_in_half(write_video(tmp_path / "whole.mkv", 60), tmp_path / "cut.mkv")
    run_small([tmp_path / "cut.mkv"], tmp_path / "f.h5")
    strict = run_small([tmp_path / "cut.mkv"], tmp_path / "f.h5", strict=True)
    assert (strict.states, strict.exit_code) == ({"failed": 1}, 1)


def test_new_labels_of_finished_items_are_said(clips, tmp_path, caplog):
    manifest, path = tmp_path / "set.csv", clips / "a" / "v0.mp4"
    manifest.write_text(f"id,path,label\nx,{path},old\n")
    run_small([manifest], tmp_path / "f.h5")
    assert "another label" not in caplog.text
    manifest.write_text(f"id,path,label\nx,{path},new\n")
    run_small([manifest], tmp_path / "f.h5")
    assert "1 finished items have another label or group now (first: 'x')" in caplog.text


def test_whatever_a_decoder_raises_fails_only_its_item(clips, tmp_path, monkeypatch):
    def broken(self, image):
        if image.shape[0] == 32:
            raise ZeroDivisionError("oops")
        return call(self, image)

    call = Geometry.__call__
    write_video(tmp_path / "odd.mp4", 5, width=48, height=32)
    monkeypatch.setattr(Geometry, "__call__", broken)
    summary = run_small([tmp_path / "odd.mp4", clips / "a" / "v0.mp4"], tmp_path / "f.h5")
    assert summary.states == {"done": 1, "failed": 1}
    assert summary.failures[0].reason == "the decoder failed: ZeroDivisionError: oops"


def test_a_timeout_fails_the_item_and_the_batch_goes_on(clips, tmp_path, monkeypatch):
    wait = ChildSource._wait

    def hanging(self):
        if "long" in str(self._path):
            self._left = 0.0
            os.kill(self._child.pid, signal.SIGSTOP)  # a decoder that hangs
        wait(self)

    monkeypatch.setattr(ChildSource, "_wait", hanging)
    long = write_video(tmp_path / "long.mp4", 300)
    summary = run_small([long, clips / "a" / "v0.mp4"], tmp_path / "f.h5", timeout=30.0, workers=1)
    assert summary.states == {"done": 1, "failed": 1}
    assert "timeout after 30 s of waiting for the decoder" in summary.failures[0].reason


def test_failures_are_listed_even_when_the_run_stops(clips, tmp_path, monkeypatch):
    (tmp_path / "bad.mp4").write_text("text")
    whole = job.run_one

    def stopped(*arguments):
        whole(*arguments)
        raise StorageError("the disk is gone")

    monkeypatch.setattr(job, "run_one", stopped)
    with pytest.raises(StorageError, match="the disk is gone"):
        run_small([tmp_path / "bad.mp4", clips / "a" / "v0.mp4"], tmp_path / "f.h5")
    assert "bad.mp4" in (tmp_path / "f.h5.failures.csv").read_text()


def test_overflow_of_float16_fails_the_item_with_a_way_out(clips, tmp_path):
    network = get_model("squeezenet1_1", weights=None)
    network.features[0].weight.data.fill_(1e5)
    torch.save(network.state_dict(), tmp_path / "huge.pth")
    summary = run_small(
        [clips / "a" / "v0.mp4"], tmp_path / "f.h5", weights=str(tmp_path / "huge.pth"), layers="features.1"
    )
    assert summary.states == {"failed": 1}
    assert "--dtype float32" in summary.failures[0].reason


def test_two_processes_on_the_cpu_equal_one(clips, features, tmp_path):
    summary = run_small([clips], tmp_path / "f.h5", device="cpu,cpu")
    assert summary.states == {"done": 6}
    assert diff(features, tmp_path / "f.h5").equal()


def test_shards_merged_equal_one_run(clips, features, tmp_path):
    for index in range(2):
        run_small([clips], tmp_path / "f.h5", shard=f"{index}/2")
    shards = [tmp_path / f"f.shard-{index:03d}-of-002.h5" for index in range(2)]
    assert all(shard.exists() for shard in shards)
    merge.run(MergeConfig(shards=shards, output=tmp_path / "f.h5"))
    assert diff(features, tmp_path / "f.h5").equal()
    with pytest.raises(UsageError, match=r"Shards 1 of 2 are missing"):
        merge.run(MergeConfig(shards=shards[:1], output=tmp_path / "g.h5"))


def test_timeout_decodes_in_a_child_with_equal_results(clips, features, tmp_path):
    run_small([clips], tmp_path / "f.h5", timeout=60.0)
    assert diff(features, tmp_path / "f.h5").equal()


def test_segments_of_a_manifest(clips, tmp_path):
    manifest = tmp_path / "set.csv"
    path = clips / "a" / "v1.mp4"
    manifest.write_text(
        f"id,path,start,end,label,group,split1\nx,{path},0.2,0.6,up|down,g1,train\ny,{path},0.6,,down,,test\n"
    )
    run_small([manifest], tmp_path / "f.h5")
    with vidfeat.open_features(tmp_path / "f.h5") as stored:
        assert stored["x"].frame.tolist() == list(range(5, 15))
        assert stored["y"].frame.tolist() == list(range(15, 30))
        assert stored["x"].labels == ("up", "down")
        assert (stored["x"].group, stored["x"].splits) == ("g1", {"split1": "train"})


def test_ten_crop_maps_and_pooled_maps(clips, tmp_path):
    path = clips / "b" / "v2.mp4"
    run_small([path], tmp_path / "ten.h5", ten_crop=True)
    run_small([path], tmp_path / "map.h5", layers="features.1,avgpool")
    run_small([path], tmp_path / "pooled.h5", layers="features.1,avgpool", map_pool="max")
    with vidfeat.open_features(tmp_path / "ten.h5") as ten, vidfeat.open_features(tmp_path / "map.h5") as maps:
        crops, plain = ten["v2.mp4"]["avgpool"], maps["v2.mp4"]["avgpool"]
        assert crops.shape == (9, 10, 1000)
        centre = crops[:, 4]  # torchvision's order: four corners, centre, then the mirrored ones
        assert np.linalg.norm(centre - plain) <= SAME_FEATURES * np.linalg.norm(plain - plain.mean(0))
        conv = maps["v2.mp4"]["features.1"]
    assert (conv.dtype, conv.ndim) == (np.float16, 4)
    with vidfeat.open_features(tmp_path / "pooled.h5") as pooled:
        values = pooled["v2.mp4"]["features.1"]
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, conv.astype(np.float32).max((2, 3)), rtol=1e-3)


def test_names_that_shells_and_formats_trip_over(tmp_path):
    folder = tmp_path / "set"
    names = ["a b.mp4", "-dash.mp4", "#hash.mp4", 'it\'s "q".mp4', "é.mp4", "50%.mp4"]
    (folder / "sub dir").mkdir(parents=True)
    for name in names:
        write_video(folder / "sub dir" / name, 3)
    summary = run_small([folder], tmp_path / "f 1.h5")
    assert summary.states == {"done": len(names)}
    with vidfeat.open_features(tmp_path / "f 1.h5") as stored:
        assert stored.ids == sorted(f"sub dir/{name}" for name in names)


def test_dry_run_counts_and_writes_nothing(clips, tmp_path):
    facts = extract.run(small([clips], tmp_path / "f.h5", dry_run=True)).as_dict()
    assert (facts["items"], facts["frames"], facts["unreadable"]) == (6, 104, 0)
    assert facts["bytes"] == 104 * (1000 * 4 + 16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "tpu"}, "'tpu' is unknown; allowed are auto, cpu"),
        ({"layers": "fc77"}, "vidfeat layers squeezenet1_1"),
        ({"weights": "nofile.pth"}, "nofile.pth"),
        ({"precision": "fp16"}, "fp16"),
        ({"shorter_side": 16}, "smaller than the crop"),
        ({"shard": "2/2"}, "2/2"),
        ({"backbone": "squeezenet9"}, "squeezenet"),
    ],
)
def test_wrong_requests_are_refused_before_any_work(clips, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        run_small([clips], tmp_path / "f.h5", **options)
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_cuda_without_a_gpu_is_refused(clips, tmp_path):
    with pytest.raises(UsageError, match=r"shows 0 CUDA devices.*--device cpu"):
        run_small([clips], tmp_path / "f.h5", device="cuda:0")


def test_second_run_on_the_same_output_is_refused(clips, tmp_path):
    from vidfeat.store.lock import OutputLock

    lock = OutputLock(tmp_path / "f.h5.parts")
    try:
        with pytest.raises(UsageError, match=r"process \d+"):
            run_small([clips], tmp_path / "f.h5")
    finally:
        lock.release()
