"""The demo from end to end, on two of its four pairs of classes and with the first layers of its network."""

import pytest

from vidfeat.datasets import demo as demo_set
from vidfeat.stages import demo
from vidfeat.stages.config.files import DemoConfig

CHEAP = {"layers": "conv3", "map_pool": "avg", "size": 64, "stride": 4, "threads": 1}


@pytest.fixture
def cheap(monkeypatch):
    pairs = {name: demo_set.CLASSES[name] for name in ("right", "left", "grow", "shrink")}
    monkeypatch.setattr(demo_set, "CLASSES", pairs)
    whole = demo.ExtractConfig
    monkeypatch.setattr(demo, "ExtractConfig", lambda **options: whole(**{**options, **CHEAP}))


def test_order_decides_the_demo_and_a_failed_video_its_exit_code(cheap, tmp_path, monkeypatch):
    found = demo.run(DemoConfig(output=tmp_path, device="cpu"))
    accuracy = {row["encoding"]: row["accuracy"] for row in found.rows}
    assert list(accuracy) == ["avg", "max", "rankpool", "rankpool-both", "pyramid"]
    assert min(accuracy[name] for name in ("rankpool", "rankpool-both", "pyramid")) > accuracy["avg"] + 0.2
    assert [item["predicted"] for item in found.unseen] == [demo.NEW_LABEL]
    assert found.exit_code == 0

    # A second run resumes; a video that has become unreadable since then is a failure, and is not hidden.
    write = demo.write_demo

    def write_and_spoil(folder):
        items = write(folder)
        items[0].path.write_text("no video")
        return items

    monkeypatch.setattr(demo, "write_demo", write_and_spoil)
    monkeypatch.setattr(demo, "ENCODINGS", {"pyramid": demo.ENCODINGS["pyramid"]})
    assert demo.run(DemoConfig(output=tmp_path, device="cpu")).exit_code == 1
