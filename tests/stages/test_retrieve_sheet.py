"""The contact sheet of a search: which pictures it shows, where it goes, and pictures that cannot be had."""

import cv2
import numpy as np
import pytest
from test_retrieve import HOLIDAYS, random_codes, read_csv, run, write_codes

from vidfeat.errors import UsageError


@pytest.fixture
def holidays(tmp_path):
    return write_codes(tmp_path / "codes.h5", random_codes([*HOLIDAYS, "z/1.jpg"]))


@pytest.fixture
def frames(tmp_path):
    folder = tmp_path / "frames"
    (folder / "jpg").mkdir(parents=True)
    for number, name in enumerate(HOLIDAYS):
        cv2.imwrite(str(folder / name), np.full((30, 40, 3), 20 * number, np.uint8))
    return folder


def test_a_contact_sheet_in_the_output_or_beside_it(holidays, frames, tmp_path):
    options = {"images": frames, "columns": 3, "overwrite": True}
    inside = run(holidays, output=tmp_path / "OUT", contact_sheet=tmp_path / "OUT" / "s.png", **options)
    assert sorted(path.name for path in (tmp_path / "OUT").iterdir()) == [
        "queries.csv", "ranked.csv", "results.json", "s.png",
    ]  # fmt: skip
    alone = run(holidays, contact_sheet=tmp_path / "s.PNG", **options)
    assert (tmp_path / "s.PNG").read_bytes() == (tmp_path / "OUT" / "s.png").read_bytes()
    assert alone.exit_code == inside.exit_code
    assert alone.as_dict()["contact_sheet"] == str(tmp_path / "s.PNG")
    with pytest.raises(UsageError, match="exists already"):
        run(holidays, contact_sheet=tmp_path / "s.PNG", images=frames)


def test_which_queries_are_shown(holidays, frames, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vidfeat.stages.retrieve_sheet.retrieval_sheet", lambda rows: seen.append(rows) or np.zeros((2, 2, 3), np.uint8)
    )
    options = {"contact_sheet": tmp_path / "s.png", "images": frames, "overwrite": True}
    run(holidays, **options, columns=2)
    assert [row[0].captions[0] for row in seen[0]] == HOLIDAYS[::3]
    assert all(len(row) == 3 for row in seen[0])
    run(holidays, **options, rows=2)
    assert [row[0].captions[0] for row in seen[1]] == [HOLIDAYS[3], HOLIDAYS[9]]
    run(holidays, **options, show=[HOLIDAYS[6]], output=tmp_path / "OUT")
    (row,) = seen[2]
    found = [r for r in read_csv(tmp_path / "OUT" / "ranked.csv") if r["query"] == HOLIDAYS[6]][:8]
    assert row[0].relevant is None and "2 positives" in row[0].captions[1]
    assert [shot.captions[0] for shot in row[1:]] == [r["id"] for r in found]
    assert [shot.relevant for shot in row[1:]] == [r["relevant"] == "1" for r in found]
    with pytest.raises(UsageError, match=r"--show 'x.jpg' is no query; there are 4: 'jpg/100000\.jpg', .*, …"):
        run(holidays, **options, show=["x.jpg"])


def test_pictures_that_cannot_be_had_are_said(holidays, frames, tmp_path, caplog):
    (frames / HOLIDAYS[0]).write_bytes(b"no picture")
    summary = run(holidays, contact_sheet=tmp_path / "s.png", images=frames, columns=20)
    assert summary.exit_code == 1
    assert summary.as_dict()["without_picture"] == [HOLIDAYS[0], "z/1.jpg"]
    assert "No picture of z/1.jpg: there is no file" in caplog.text
    assert f"No picture of {HOLIDAYS[0]}: " in caplog.text
    assert (tmp_path / "s.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("sheet", "images", "words"),
    [
        ("s.png", "nowhere", "nowhere does not exist; name a folder, or a features file"),
        ("s.png", "frames/jpg", "None of the 4 queries to show has a picture: there is no file"),
        ("s.png", "codes.h5", "is not a vidfeat feature file: its format is 'vidfeat-codes'"),
        ("frames/s.png", "frames", "among its pictures. Choose a place outside of it."),
        ("no/s.png", "frames", "does not exist. Create it first"),
    ],
)
def test_wrong_places_of_pictures_are_refused(holidays, frames, tmp_path, sheet, images, words):
    with pytest.raises(UsageError) as refused:
        run(holidays, contact_sheet=tmp_path / sheet, images=tmp_path / images)
    assert words in str(refused.value)


def test_a_sheet_that_is_a_folder(holidays, frames, tmp_path):
    (tmp_path / "s.png").mkdir()
    with pytest.raises(UsageError, match=r"s\.png is a folder; give the name of a PNG file"):
        run(holidays, contact_sheet=tmp_path / "s.png", images=frames, overwrite=True)
