import numpy as np
import pytest
from storing import IDS, SETTINGS, extract, rows
from tolerances import FLOAT64

from vidfeat.store import FeatureWriter, diff


def write(path, items, settings=SETTINGS, labels=("l",)):
    with FeatureWriter(path, settings, {}) as writer:
        for item_id, columns in items.items():
            item = writer.item(item_id)
            for name, values in columns.items():
                item.append(name, values)
            item.finish({"device": path.name}, labels=labels, group="g", splits={"split1": "test"})


def columns(fc7, shift=0.0):
    return {"fc7": fc7, "time": np.arange(len(fc7)) + shift, "frame": np.arange(len(fc7))}


def test_a_file_equals_itself_however_it_was_written(tmp_path):
    extract(tmp_path / "a.h5")
    extract(tmp_path / "b.h5", part_bytes=1, merge=False, run={"other": 1})
    found = diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert found.equal()
    assert found.features["fc7"].relative == 0
    assert set(found.features) == {"fc7", "conv5"}


def test_the_difference_is_relative_to_the_spread_over_the_file(tmp_path):
    rng = np.random.default_rng(0)
    g = {i: 100 + rng.standard_normal((length, 6)) for i, length in (("p", 5), ("q/r", 40), ("s", 1))}
    f = {i: values + rng.standard_normal(values.shape) * (1e-3 if i == "q/r" else 1e-4) for i, values in g.items()}
    write(tmp_path / "f.h5", {i: columns(v) for i, v in f.items()})
    write(tmp_path / "g.h5", {i: columns(v) for i, v in g.items()})
    everything = np.concatenate(list(g.values()))
    spread = np.sqrt(np.mean(np.sum((everything - everything.mean(0)) ** 2, axis=1)))
    expected = {i: np.sqrt(np.mean(np.sum((f[i] - g[i]) ** 2, axis=1))) / spread for i in g}
    found = diff(tmp_path / "f.h5", tmp_path / "g.h5")
    assert found.features["fc7"].id == "q/r"
    assert found.features["fc7"].relative == pytest.approx(expected["q/r"], rel=FLOAT64)
    assert not found.equal()
    assert found.equal(tolerance=1e-2)


def test_one_frame_alone_is_compared_with_its_length(tmp_path):
    write(tmp_path / "f.h5", {"x": columns(np.array([[3.0, 4.5]]))})
    write(tmp_path / "g.h5", {"x": columns(np.array([[3.0, 4.0]]))})
    assert diff(tmp_path / "f.h5", tmp_path / "g.h5").features["fc7"].relative == pytest.approx(0.1, rel=FLOAT64)


def test_a_difference_to_zeros_is_infinite(tmp_path):
    write(tmp_path / "f.h5", {"x": columns(np.ones((2, 2)))})
    write(tmp_path / "g.h5", {"x": columns(np.zeros((2, 2)))})
    assert diff(tmp_path / "f.h5", tmp_path / "g.h5").features["fc7"].relative == np.inf


def test_everything_but_features_must_be_exact(tmp_path):
    base = {i: columns(rows(i)["fc7"]) for i in IDS[:3]}
    write(tmp_path / "a.h5", base)
    write(tmp_path / "b.h5", {i: base[i] for i in IDS[1:3]} | {"new": base[IDS[0]]})
    found = diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert (found.only_a, found.only_b, found.equal()) == ([IDS[0]], ["new"], False)

    late = base | {IDS[1]: columns(rows(IDS[1])["fc7"], shift=1e-9)}
    write(tmp_path / "c.h5", late)
    found = diff(tmp_path / "a.h5", tmp_path / "c.h5")
    assert (found.mismatches, found.equal()) == ({IDS[1]: ["time differs"]}, False)

    write(tmp_path / "d.h5", base, labels=("m",))
    found = diff(tmp_path / "a.h5", tmp_path / "d.h5")
    assert set(found.mismatches) == set(IDS[:3])
    assert found.mismatches[IDS[0]] == ["labels: ('l',) and ('m',)"]

    wide = base | {IDS[0]: columns(np.ones((3, 9)))}
    more = base | {IDS[0]: base[IDS[0]] | {"fc6": base[IDS[0]]["fc7"]}}
    write(tmp_path / "e.h5", wide)
    write(tmp_path / "f.h5", more)
    assert "fc7 has shapes" in str(diff(tmp_path / "a.h5", tmp_path / "e.h5").mismatches)
    assert "fc6 is only in the second file" in str(diff(tmp_path / "a.h5", tmp_path / "f.h5").mismatches)


def test_settings_are_told_but_do_not_make_runs_unequal(tmp_path):
    base = {"x": columns(np.ones((2, 2)))}
    write(tmp_path / "a.h5", base)
    write(tmp_path / "b.h5", base, settings={**SETTINGS, "fps": 1.0})
    found = diff(tmp_path / "a.h5", tmp_path / "b.h5")
    assert found.settings == {"fps": (6.0, 1.0)}
    assert found.equal()
