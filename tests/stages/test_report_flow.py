"""Films and pictures of flow."""

import av
import cv2
import numpy as np
import pytest
from tolerances import CODED_GREY
from videos import moving_picture, write_video

from vidfeat.errors import StorageError, UsageError
from vidfeat.flow import flow_method
from vidfeat.media.video import VideoReader
from vidfeat.report.flow import GAP, flow_picture, largest_motion, with_legend
from vidfeat.stages import report_flow
from vidfeat.stages.config.report import FlowReportConfig


def show(inputs, output, **options):
    given = {"method": "dis", "device": "cpu", **options}
    return report_flow.run(FlowReportConfig(inputs=list(inputs), output=output, **given)).as_dict()


def fields_of(path) -> tuple[np.ndarray, np.ndarray]:
    with VideoReader(path) as video:
        frames = np.stack([frame.image for frame in video.frames()])
    return frames, flow_method("dis", "cpu")(np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]))


def watch(path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return np.stack([picture.to_ndarray(format="rgb24") for picture in pictures]), [
        picture.time for picture in pictures
    ]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("in put") / "a b.mp4", 12, width=96, height=64, rate=10)


def test_a_film_has_the_frames_and_the_colours_of_their_flow(video, tmp_path):
    facts = show([video], tmp_path / "film.mp4", maximum=6.0)
    pictures, times = watch(tmp_path / "film.mp4")
    frames, fields = fields_of(video)
    assert pictures.shape == (11, 64, 2 * 96 + GAP, 3)
    np.testing.assert_allclose(times, np.arange(11) / 10, atol=1e-4)
    # Chroma at half the resolution, and the loss of H.264.
    assert np.abs(pictures[:, :, :96].astype(int) - frames[:-1]).mean() < CODED_GREY
    coloured = np.stack([flow_picture(field, 6.0).picture for field in fields])
    assert np.abs(pictures[:, :, 96 + GAP :].astype(int) - coloured).mean() < 3 * CODED_GREY
    assert coloured.std() > 20
    assert facts["pictures"] == [{"id": "a b.mp4", "place": str(tmp_path / "film.mp4"), "fields": 11, "maximum": 6.0}]
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_film_has_a_legend_where_there_is_room(tmp_path):
    video = write_video(tmp_path / "large.mp4", 3, width=160, height=128)
    show([video], tmp_path / "film.mp4", maximum=6.0)
    found = watch(tmp_path / "film.mp4")[0][0, :, 160 + GAP :].astype(int)
    shown = flow_picture(fields_of(video)[1][0], 6.0)
    plain, marked = shown.picture.astype(int), with_legend(shown).astype(int)
    corner = np.abs(plain - marked).max(axis=2) > 0
    assert corner.sum() > 1000 and not corner[:64].any()
    assert np.abs(found - marked)[corner].mean() < 0.3 * np.abs(found - plain)[corner].mean()


def test_pictures_are_lossless(video, tmp_path):
    facts = show([video], tmp_path / "out", form="png")
    _, fields = fields_of(video)
    maximum = max(1.0, largest_motion(fields, 0.99))
    assert facts["pictures"][0]["maximum"] == pytest.approx(maximum)
    files = sorted((tmp_path / "out" / "a b.mp4").iterdir())
    assert [path.name for path in files] == [f"flow_{k:05d}.png" for k in range(11)]
    for path, field in zip(files, fields, strict=True):
        expected = with_legend(flow_picture(field, facts["pictures"][0]["maximum"]))
        assert np.array_equal(cv2.imread(str(path))[..., ::-1], expected)
    with pytest.raises(UsageError, match=r"a b\.mp4 exists already\. Choose another output, or --overwrite"):
        show([video], tmp_path / "out", form="png", stride=4)
    assert len(list((tmp_path / "out" / "a b.mp4").iterdir())) == 11
    show([video], tmp_path / "out", form="png", stride=4, overwrite=True)
    assert len(list((tmp_path / "out" / "a b.mp4").iterdir())) == 2


def test_a_still_video_is_white_and_not_noise(tmp_path):
    still = write_video(
        tmp_path / "still.mkv", 4, picture=lambda k, *size: moving_picture(0, *size), codec="ffv1", pixel_format="bgr0"
    )
    facts = show([still], tmp_path / "f.mp4")
    assert facts["pictures"][0]["maximum"] == 1.0
    assert watch(tmp_path / "f.mp4")[0][:, :, 64 + GAP :].min() > 250


def test_the_first_fields_choose_the_scale_of_all(tmp_path, monkeypatch):
    """A film is written while it is computed: fields far behind cannot count."""
    monkeypatch.setattr(report_flow, "_FIRST_FIELDS", 3)
    video = write_video(tmp_path / "v.mp4", 9, width=96, height=64)
    facts = show([video], tmp_path / "f.mp4")
    assert facts["pictures"][0]["maximum"] == pytest.approx(largest_motion(fields_of(video)[1][:3], 0.99))
    assert len(watch(tmp_path / "f.mp4")[0]) == 8


def test_items_without_flow_fail_and_leave_nothing(video, tmp_path):
    one = write_video(tmp_path / "one.mp4", 1)
    (tmp_path / "bad.mp4").write_text("no video")
    facts = show([video, one, tmp_path / "bad.mp4"], tmp_path / "out")
    assert (facts["done"], facts["empty"], facts["failed"]) == (1, 1, 1)
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.name for path in found] == ["a b.mp4.mp4"]
    assert "one frame has no flow" in (tmp_path / "out.failures.csv").read_text()


def test_a_run_that_breaks_off_leaves_no_half_film(video, tmp_path, monkeypatch):
    def broken(*given):
        raise ZeroDivisionError("oops")

    show([video], tmp_path / "f.mp4")
    before = (tmp_path / "f.mp4").read_bytes()
    monkeypatch.setattr(report_flow.Film, "publish", broken)
    with pytest.raises(ZeroDivisionError):
        show([video], tmp_path / "f.mp4", maximum=3.0, overwrite=True)
    with pytest.raises(UsageError, match=r"f\.mp4 exists already\. Choose another output, or --overwrite"):
        show([video], tmp_path / "f.mp4", maximum=3.0)
    assert (tmp_path / "f.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["f.mp4"]


def test_a_full_disk_leaves_nothing_and_says_so(video, tmp_path, monkeypatch):
    class Full:
        def __init__(self, container) -> None:
            self.add_stream = container.add_stream

        def mux(self, packets=None):
            raise OSError(28, "No space left on device")

        close = mux

    def opened(path, mode="r", **given):
        return Full(whole(path, mode, **given)) if mode == "w" else whole(path, mode, **given)

    whole = av.open
    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(StorageError, match="No space left"):
        show([video], tmp_path / "f.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("f.avi", {}, "has the suffix '.avi'; films are written as .mp4"),
        ("f.mp4", {"form": "png"}, "--form png writes a folder"),
        ("no/f.mp4", {}, "folder .*no of the output f.mp4 does not exist"),
        ("f.mp4", {"maximum": 0.0}, "--maximum is 0.0; it must be above 0"),
        ("f.mp4", {"size": "x"}, "--size is 'x'"),
        ("f.mp4", {"tau": 0.2}, "--tau 0.2 has no effect with --method dis"),
        ("f.mp4", {"device": "cpu,cpu"}, "names several devices"),
    ],
)
def test_wrong_requests_are_refused(video, tmp_path, output, options, words):
    with pytest.raises(UsageError, match=words):
        show([video], tmp_path / output, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_of_others_is_left_alone(video, tmp_path):
    (tmp_path / "out" / "a b.mp4").mkdir(parents=True)
    (tmp_path / "out" / "a b.mp4" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'notes\.txt', which vidfeat does not write"):
        show([video], tmp_path / "out", form="png", overwrite=True)


def test_a_film_of_several_items_needs_a_folder(video, tmp_path):
    other = write_video(tmp_path / "b.mp4", 3)
    with pytest.raises(UsageError, match=r"f\.mp4 is one film, but there are 2 items"):
        show([video, other], tmp_path / "f.mp4")
    with pytest.raises(UsageError, match="would replace its own source"):
        show([other], other)
