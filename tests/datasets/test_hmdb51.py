"""HMDB51's and JHMDB's lists: every oddity of the real ones in miniature."""

import pytest
from miniature import by_id, imported, left_out, touch, write

from vidfeat.datasets.hmdb51 import film_of
from vidfeat.errors import UsageError

# Beginnings and characters that real names have.
ODD = [
    "#122_Cleaning_Up_climb_f_cm_np1_ba_med_0.avi",
    "-_FREE_HUGS_-_Abrazos_climb_u_cm_np2_le_goo_16.avi",
    "Film_(2004)_[a]_&_b!_c+d;e~f@g_climb_f_nm_np1_fr_bad_3.avi",
]
STAIRS = ["A_Film_climb_stairs_f_cm_np1_ba_med_0.avi", "A_Film_climb_stairs_f_cm_np1_ba_med_1.avi"]


def flags(names, values):
    """Every line ends in a space, as the real ones do."""
    return "".join(f"{name} {flag} \n" for name, flag in zip(names, values, strict=True))


def lists(folder, **changed):
    files = {"climb_test_split1": flags(ODD, "120"), "climb_test_split2": flags(ODD, "211"),
             "climb_stairs_test_split1": flags(STAIRS, "11"), "climb_stairs_test_split2": flags(STAIRS, "22"),
             **changed}  # fmt: skip
    return write(folder, {f"{name}.txt": text for name, text in files.items() if text is not None})


@pytest.fixture
def root(tmp_path):
    lists(tmp_path / "testTrainMulti_7030_splits")
    return touch(tmp_path / "hmdb51_org", *(f"climb/{name}" for name in ODD), *(f"climb_stairs/{n}" for n in STAIRS))


def test_flags_trailing_spaces_and_odd_names(root):
    """1 train, 2 test, 0 unused; names with ( ) ! # [ ] & + ; ~ @, some beginning with # or -."""
    items = by_id(imported("hmdb51", root))
    assert [items[f"climb/{name}"].splits for name in ODD] == [
        {"split1": "train", "split2": "test"},
        {"split1": "test", "split2": "train"},
        {"split2": "train"},
    ]
    assert all(item.path.is_file() for item in items.values())


def test_climb_does_not_take_the_lists_of_climb_stairs(root):
    items = by_id(imported("hmdb51", root))
    assert {name: item.labels for name, item in items.items()} == {
        **{f"climb/{name}": ("climb",) for name in ODD},
        **{f"climb_stairs/{name}": ("climb_stairs",) for name in STAIRS},
    }


def test_clips_of_one_film_are_a_group_within_their_class(root):
    items = by_id(imported("hmdb51", root))
    assert {items[f"climb_stairs/{name}"].group for name in STAIRS} == {"climb_stairs/A_Film"}
    assert items[f"climb/{ODD[0]}"].group == "climb/#122_Cleaning_Up"


@pytest.mark.parametrize(
    ("name", "film"),
    [
        ("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "April_09"),
        ("climb/A_Film_climb_stairs_f_cm_np1_ba_med_0.avi", "A_Film_climb_stairs"),
        ("throw/some_name.avi", "some_name"),
        ("throw/throw_f_cm_np1_ba_med_0.avi", "throw"),
        ("throw/_throw_f_cm_np1_ba_med_0.avi", "_throw_f_cm_np1_ba_med_0"),
    ],
)
def test_film_of_a_clip(name, film):
    assert film_of(name) == film


def test_a_film_on_both_sides_of_a_split_is_no_group(root):
    lists(root.parent / "testTrainMulti_7030_splits", climb_stairs_test_split1=flags(STAIRS, "12"))
    found = imported("hmdb51", root)
    assert found.regrouped == 1
    assert by_id(found)[f"climb_stairs/{STAIRS[0]}"].group == f"climb_stairs/{STAIRS[0]}"


def test_all_clips_in_one_folder(tmp_path):
    lists(tmp_path / "splits")
    found = imported("hmdb51", touch(tmp_path / "all", *ODD, *STAIRS), tmp_path / "splits")
    assert len(found.items) == 5


def test_latin_1_names(tmp_path):
    """A list in latin-1, the file in UTF-8: the id is proper text either way."""
    name = "Amélie_climb_f_cm_np1_ba_med_0.avi"
    write(tmp_path / "splits", {"climb_test_split1.txt": f"{name} 1 \n".encode("latin-1")})
    found = imported("hmdb51", touch(tmp_path / "v", f"climb/{name}"), tmp_path / "splits")
    assert [item.id for item in found.items] == [f"climb/{name}"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"climb_test_split1": flags(ODD[:1], "3")}, r"climb_test_split1.txt, line 1: the flag is '3'; allowed are 1 "),
        (
            {"climb_test_split1": "a.avi\n"},
            r"climb_test_split1.txt, line 1: 'a.avi' is not of the form 'clip.avi FLAG'",
        ),
        ({"climb_test_split2": None}, r"has no climb_test_split2.txt, but other classes have split 2"),
    ],
)
def test_wrong_lists_are_refused_with_file_and_line(tmp_path, changed, words):
    touch(tmp_path / "v", f"climb/{ODD[0]}")
    with pytest.raises(UsageError, match=words):
        imported("hmdb51", tmp_path / "v", lists(tmp_path / "lists", **changed))


def test_jhmdb_takes_splits_and_not_sub_splits(tmp_path):
    clip = "A_Film_catch_f_cm_np1_ba_med_0.avi"
    write(tmp_path, {"splits/catch_test_split1.txt": f"{clip} 1\n", "sub_splits/catch_test_split1.txt": f"{clip} 2\n",
                     f"ReCompress_Videos/catch/{clip}": ""})  # fmt: skip
    assert by_id(imported("jhmdb", tmp_path))[f"catch/{clip}"].splits == {"split1": "train"}
    sub = imported("jhmdb", tmp_path, tmp_path / "sub_splits")
    assert by_id(sub)[f"catch/{clip}"].splits == {"split1": "test"}


def test_jhmdb_with_frames_alone_is_said(tmp_path):
    clips = [f"A_Film_catch_f_cm_np1_ba_med_{k}.avi" for k in range(2)]
    write(tmp_path, {"splits/catch_test_split1.txt": flags(clips, "12"), f"ReCompress_Videos/catch/{clips[0]}": "",
                     f"Rename_Images/catch/{clips[1][:-4]}/00001.png": ""})  # fmt: skip
    reason = left_out(imported("jhmdb", tmp_path))[f"catch/{clips[1]}"]
    assert reason.startswith(f"no video, only 1 picture in Rename_Images/catch/{clips[1][:-4]}")
