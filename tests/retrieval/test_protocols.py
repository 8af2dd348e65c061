"""What each protocol asks: queries, positives, what is taken out of the ranking, what is missing."""

import pytest

from vidfeat.errors import UsageError
from vidfeat.retrieval.by_label import label_task
from vidfeat.retrieval.holidays import holidays_task
from vidfeat.retrieval.landmarks import landmark_task

# ---- labels

LABELS = [("a",), ("a",), ("b",), ("a", "b"), (), ("c",)]
GROUPS = ["g", "g", "h", "h", "h", ""]
IDS = [f"v{number}" for number in range(6)]


def by_label(queries=range(6), database=range(6), **options):
    task = label_task(IDS, LABELS, GROUPS, list(queries), list(database), **options)
    found = {query.name: (query.positives.tolist(), query.ignored.tolist()) for query in task.queries}
    return found, task.counts


def test_items_that_share_a_label_are_positives():
    found, counts = by_label()
    assert found == {"v0": ([1, 3], [0]), "v1": ([0, 3], [1]), "v2": ([3], [2]), "v3": ([0, 1, 2], [3])}
    assert counts == {"unlabelled": 1, "without_positives": 1}


def test_items_of_the_same_group_can_be_left_out():
    found, counts = by_label(exclude_same_group=True)
    assert found == {"v0": ([3], [0, 1]), "v1": ([3], [0, 1]), "v3": ([0, 1], [2, 3, 4])}
    assert counts == {"unlabelled": 1, "without_positives": 2}  # v2 has only v3, of its own group


def test_queries_and_database_can_be_parts():
    """Rows of the database count from its own beginning."""
    found, _ = by_label(queries=[0, 2], database=[1, 3, 4, 5])
    assert found == {"v0": ([0, 1], []), "v2": ([1], [])}
    found, _ = by_label(queries=[3], database=[0, 3, 5])
    assert found == {"v3": ([0], [1])}


@pytest.mark.parametrize(
    ("queries", "options", "words"),
    [
        ([4], {}, "no query among 1 items: none of them has a label; give --manifest"),
        ([5], {}, "none of the 1 with a label shares it with another item in the database"),
        (
            [2, 5],
            {"exclude_same_group": True},
            "none of the 2 with a label shares it with another item of another group",
        ),
    ],
)
def test_no_query_at_all_is_said(queries, options, words):
    with pytest.raises(UsageError) as refused:
        by_label(queries=queries, **options)
    assert words in str(refused.value)


# ---- Holidays

HOLIDAYS = ["100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg", "100101.jpg", "100200.jpg", "149902.jpg"]


def holidays(ids, ground_truth=None):
    task = holidays_task(ids, ground_truth)
    return {
        query.name: (query.positives.tolist(), query.ignored.tolist(), query.missing) for query in task.queries
    }, task


def test_the_names_say_who_asks_for_whom(caplog):
    ids = ["jpg/" + name for name in HOLIDAYS[:-1]] + ["distractors/1.jpg", "x/200000.jpg"]
    found, task = holidays(ids)
    assert found == {"jpg/100000.jpg": ([1, 2], [0], 0), "jpg/100100.jpg": ([4], [3], 0)}
    assert task.counts == {"distractors": 2, "missing": 0, "without_positives": 1}
    assert "500 queries and 1,491 images; here are 2 and 6" in caplog.text


def test_the_whole_set_has_500_queries(caplog):
    """991 positives over 500 groups, as in the original."""
    ids = [f"{100000 + 100 * group + number}.jpg" for group in range(500) for number in range(3 if group < 491 else 2)]
    assert len(ids) == 1491
    found, task = holidays(ids)
    assert len(task.queries) == 500 and sum(len(positives) for positives, _, _ in found.values()) == 991
    assert caplog.text == ""


PERFECT = "100000.jpg 0 100001.jpg 1 100002.jpg\n100100.jpg\t0 100101.jpg \n"


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("name", "text"), [("perfect_result.dat", PERFECT), ("holidays_images.dat", "\n".join(HOLIDAYS[:5]) + "\n")]
)
def test_ground_truth_files_tell_what_is_missing(tmp_path, caplog, inside, name, text):
    (tmp_path / name).write_text(text)
    found, task = holidays(["100000", "100002", "100100", "100101", "z.jpg"], tmp_path if inside else tmp_path / name)
    assert found == {"100000": ([1], [0], 1), "100100": ([3], [2], 0)}
    assert task.counts == {"distractors": 1, "missing": 1, "without_positives": 0}
    assert "1 images of the ground truth have no code; positives among them are never found" in caplog.text


def test_a_query_in_its_own_results_is_no_positive(tmp_path):
    (tmp_path / "perfect_result.dat").write_text("100000.jpg 0 100000.jpg 1 100001.jpg\n")
    found, _ = holidays(["100000.jpg", "100001.jpg"], tmp_path)
    assert found == {"100000.jpg": ([1], [0], 0)}


@pytest.mark.parametrize(
    ("ids", "text", "words"),
    [
        (
            ["a.jpg"],
            None,
            "None of the 1 items is named like a picture of Holidays, such as 100000.jpg (first: 'a.jpg')",
        ),
        ([], None, "None of the 0 items"),
        (["100001.jpg", "100101.jpg", "100100.jpg"], None, "1 of 2 query pictures are not among the codes ('100000')"),
        (["100000.jpg"], PERFECT, "1 of 2 query pictures are not among the codes ('100100')"),
        (["100000.jpg"], None, "None of the 1 query pictures has another one of its group"),
        (["a/100000.jpg", "b/100000.jpg"], None, "'a/100000.jpg' and 'b/100000.jpg' have the same name '100000'"),
        (HOLIDAYS, "100000.jpg 0\n", "line 1: expected a query and then rank and name of each result"),
        (HOLIDAYS, "100000.jpg x 100001.jpg\n", "line 1: expected a query and then rank and name"),
        (HOLIDAYS, "100000.jpg\nb.jpg\n", "lists 'b'; pictures of Holidays have names such as 100000.jpg"),
        (HOLIDAYS, "\n", "is empty; name perfect_result.dat or holidays_images.dat"),
    ],
)
def test_wrong_holidays_are_refused(tmp_path, ids, text, words):
    path = None
    if text is not None:
        path = tmp_path / "truth.dat"
        path.write_text(text)
    with pytest.raises(UsageError) as refused:
        holidays_task(ids, path)
    assert words in str(refused.value)


def test_wrong_places_of_the_ground_truth_of_holidays(tmp_path):
    with pytest.raises(UsageError, match=r"has neither perfect_result\.dat nor holidays_images\.dat"):
        holidays_task(HOLIDAYS, tmp_path)
    with pytest.raises(UsageError, match=r"no\.dat does not exist"):
        holidays_task(HOLIDAYS, tmp_path / "no.dat")


# ---- Oxford and Paris


def write_landmark(folder, name, picture, good, ok, junk, rectangle="136.5 34.1 648.5 955.7"):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}_query.txt").write_text(f"{picture} {rectangle}\n")
    for kind, names in (("good", good), ("ok", ok), ("junk", junk)):
        (folder / f"{name}_{kind}.txt").write_text("".join(f"{entry}\n" for entry in names))


@pytest.fixture
def oxford(tmp_path):
    folder = tmp_path / "gt"
    souls = ("all_souls_000013", "all_souls_000026")
    write_landmark(folder, "all_souls_1", "oxc1_all_souls_000013", souls, ["all_souls_000001"], ["oxford_000002"])
    write_landmark(folder, "all_souls_10", "oxc1_all_souls_000026", souls, ["all_souls_000001"], [])
    write_landmark(folder, "all_souls_2", "oxc1_all_souls_000026", souls, [], ["all_souls_000001", "gone_1"], "1 2 3 4")
    return folder


OXFORD = ["all_souls_000001", "all_souls_000013", "all_souls_000026", "ashmolean_000000", "oxford_000002"]


def landmarks(ids, folder):
    task = landmark_task(ids, folder)
    return {q.name: (q.row, q.positives.tolist(), q.ignored.tolist(), q.missing) for q in task.queries}, task


def test_good_and_ok_are_positives_and_junk_is_ignored(oxford, caplog):
    found, task = landmarks([f"oxbuild_images/{name}.jpg" for name in OXFORD], oxford)
    assert found == {
        "all_souls_1": (1, [0, 1, 2], [4], 0),
        "all_souls_2": (2, [1, 2], [0], 0),
        "all_souls_10": (2, [0, 1, 2], [], 0),
    }
    assert [query.name for query in task.queries] == ["all_souls_1", "all_souls_2", "all_souls_10"]
    assert task.queries[0].rectangle == (136.5, 34.1, 648.5, 955.7)
    assert task.counts == {"distractors": 2, "missing": 1, "missing_positives": 0}
    assert "1 pictures of the ground truth have no code ('gone_1'). They would be positives 0 times" in caplog.text
    assert "Oxford and Paris have 55 queries" in caplog.text


def test_missing_positives_are_counted(oxford, caplog):
    found, task = landmarks(OXFORD[1:], oxford)
    assert found["all_souls_1"] == (0, [0, 1], [3], 1)
    assert found["all_souls_10"][3] == 1
    assert task.counts["missing_positives"] == 2
    assert "They would be positives 2 times, which count as never found" in caplog.text


def test_paris_has_no_prefix_and_junk_wins(tmp_path):
    """A picture in two lists is skipped, and still counts as a positive, as in the original program."""
    names = ["paris_defense_000605", "paris_defense_000001"]
    write_landmark(tmp_path / "gt", "defense_1", names[0], names, [], names[1:])
    found, _ = landmarks([f"defense/{name}.jpg" for name in sorted(names)], tmp_path / "gt")
    assert found == {"defense_1": (1, [1], [0], 1)}


def test_windows_line_ends_and_blank_lines(tmp_path):
    write_landmark(tmp_path / "gt", "a_1", "oxc1_p1", [], [], [])
    (tmp_path / "gt" / "a_1_good.txt").write_bytes(b"\xef\xbb\xbfp1\r\np2 \r\n\r\n")
    assert landmarks(["p1.jpg", "p2.jpg"], tmp_path / "gt")[0] == {"a_1": (0, [0, 1], [], 0)}


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (OXFORD[:2], "The pictures of 2 of 3 queries are not among the 2 codes ('all_souls_000026')"),
        ([*OXFORD, "b/all_souls_000013.jpg"], "have the same name 'all_souls_000013', by which the ground truth"),
    ],
)
def test_codes_that_do_not_fit_the_landmarks(oxford, ids, words):
    with pytest.raises(UsageError) as refused:
        landmark_task(ids, oxford)
    assert words in str(refused.value)


def test_distractors_may_have_equal_names(oxford):
    assert len(landmark_task([*OXFORD, "a/1.jpg", "b/1.jpg"], oxford).queries) == 3


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "all_souls_1_query.txt",
            "oxc1_all_souls_000013 1 2 3",
            "must hold a picture and x1 y1 x2 y2; it holds 'oxc1_a",
        ),
        ("all_souls_1_query.txt", "oxc1_all_souls_000013 1 2 3 x", "must hold a picture and x1 y1 x2 y2"),
        ("all_souls_2_good.txt", "", "query all_souls_2 has no good and no ok picture"),
        ("all_souls_2_junk.txt", None, "all_souls_2_junk.txt does not exist, but the ground truth must have it"),
        ("all_souls_2_junk.txt", b"\xff\xfe", "Cannot read"),
    ],
)
def test_broken_ground_truth_is_refused(oxford, name, text, words):
    if text is None:
        (oxford / name).unlink()
    elif isinstance(text, bytes):
        (oxford / name).write_bytes(text)
    else:
        (oxford / name).write_text(text)
    with pytest.raises(UsageError) as refused:
        landmark_task(OXFORD, oxford)
    assert words in str(refused.value)


def test_wrong_places_of_the_ground_truth(tmp_path):
    with pytest.raises(UsageError, match=r"gt is not a folder; name the one that has the \*_query.txt files"):
        landmark_task(OXFORD, tmp_path / "gt")
    with pytest.raises(UsageError, match=r"has no \*_query.txt; name the folder of the unpacked ground truth"):
        landmark_task(OXFORD, tmp_path)
