"""The stage: from a codes file to figures, tables and a sheet, against a plain evaluation of all pairs."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from oracles import retrieval as oracle
from tolerances import FLOAT32, FLOAT64

from vidfeat.errors import UsageError
from vidfeat.stages import retrieve
from vidfeat.stages.config.retrieve import RetrieveConfig
from vidfeat.store import CodesWriter

PROVENANCE = {"features_fingerprint": "f", "feature": "fc7", "encode": {"method": "avg"}}


def write_codes(path, codes, labels=None, groups=None, splits=None, sets=("default",), provenance=PROVENANCE):
    """``codes``: id -> vector; the others: id -> value."""
    with CodesWriter(path, provenance) as writer:
        for item_id in sorted(codes):
            named = dict.fromkeys(sets, codes[item_id])
            own = (labels or {}).get(item_id, "")
            writer.append(
                item_id, named, tuple(filter(None, own.split("|"))), (groups or {}).get(item_id, ""),
                {"split1": splits[item_id]} if splits else {},
            )  # fmt: skip
    return path


def random_codes(ids, seed=0, dimension=8):
    random = np.random.default_rng(seed)
    return {item_id: random.standard_normal(dimension).astype(np.float32) for item_id in sorted(ids)}


HOLIDAYS = [f"jpg/{100000 + 100 * group + number}.jpg" for group in range(4) for number in range(3)]


@pytest.fixture
def holidays(tmp_path):
    return write_codes(tmp_path / "codes.h5", random_codes([*HOLIDAYS, "z/1.jpg"]))


def run(codes, protocol="holidays", **options):
    return retrieve.run(RetrieveConfig(codes, protocol, device="cpu", **options))


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_holidays_from_file_to_figures(holidays, tmp_path, metric):
    facts = run(holidays, metric=metric, output=tmp_path / "OUT", top=5).as_dict()
    codes = random_codes([*HOLIDAYS, "z/1.jpg"])
    names = sorted(codes)
    expected = {}
    for query in HOLIDAYS[::3]:
        order = [(names[row], d) for d, row in oracle.ranking(codes[query], codes.values(), metric)]
        positives = {name for name in HOLIDAYS if name[:8] == query[:8] and name != query}
        expected[query] = positives, order
    aps = [oracle.holidays_ap(query, found[0], [n for n, _ in found[1]]) for query, found in expected.items()]
    steps = [oracle.stepwise_ap(found[0], {query}, [n for n, _ in found[1]]) for query, found in expected.items()]
    assert facts["map"] == pytest.approx(np.mean(aps), FLOAT64)
    assert facts["map_stepwise"] == pytest.approx(np.mean(steps), FLOAT64)
    assert (facts["n_queries"], facts["n_database"], facts["set"]) == (4, 13, "default")
    assert facts["counts"] == {"distractors": 1, "missing": 0, "without_positives": 0}

    written = json.loads((tmp_path / "OUT" / "results.json").read_text())
    assert written == {name: value for name, value in facts.items() if name != "output"}
    assert written["provenance"] == PROVENANCE
    assert written["config"]["metric"] == metric

    rows = read_csv(tmp_path / "OUT" / "queries.csv")
    assert list(rows[0]) == ["query", "ap", "positives", "first_rank"]
    for row, (query, found), ap in zip(rows, expected.items(), aps, strict=True):
        order = [name for name, _ in found[1] if name != query]
        assert (row["query"], row["positives"]) == (query, "2")
        assert float(row["ap"]) == pytest.approx(ap, FLOAT64)
        assert int(row["first_rank"]) == 1 + min(order.index(name) for name in found[0])

    rows = read_csv(tmp_path / "OUT" / "ranked.csv")
    assert list(rows[0]) == ["query", "rank", "id", "distance", "relevant"]
    wanted = [
        (query, str(rank), name, str(int(name in positives)), distance)
        for query, (positives, order) in expected.items()
        for rank, (name, distance) in enumerate([own for own in order if own[0] != query][:5], 1)
    ]
    assert [(r["query"], r["rank"], r["id"], r["relevant"]) for r in rows] == [own[:4] for own in wanted]
    np.testing.assert_allclose([float(r["distance"]) for r in rows], [own[4] for own in wanted], FLOAT32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OUT", "codes.h5"]


def test_two_runs_write_the_same_bytes(holidays, tmp_path):
    for name in ("A", "B"):
        run(holidays, output=tmp_path / name)
    for name in ("queries.csv", "ranked.csv"):
        assert (tmp_path / "A" / name).read_bytes() == (tmp_path / "B" / name).read_bytes()


def test_best_matches_are_held_of_a_few_queries_at_a_time(holidays, tmp_path, monkeypatch):
    run(holidays, output=tmp_path / "A")
    monkeypatch.setattr(retrieve, "_QUERIES_AT_ONCE", 3)
    asked = []
    search = retrieve.found
    monkeypatch.setattr(
        retrieve, "found", lambda problem, some, top: asked.append(len(some)) or search(problem, some, top)
    )
    run(holidays, output=tmp_path / "B")
    assert asked == [3, 1]
    assert (tmp_path / "A" / "ranked.csv").read_bytes() == (tmp_path / "B" / "ranked.csv").read_bytes()


def write_oxford(folder):
    folder.mkdir()
    for name, content in {
        "hall_1_query.txt": "oxc1_p1 1 2 30 40\n",
        "hall_1_good.txt": "p1\np2\n",
        "hall_1_ok.txt": "p3\ngone\n",
        "hall_1_junk.txt": "p4\n",
    }.items():
        (folder / name).write_text(content)
    return folder


OXFORD = {f"p{number}.jpg": np.float32([number, 0]) for number in range(1, 7)}


def test_oxford_by_hand(tmp_path):
    """The query itself, junk, others: q p2 (p6) p3 is 1, 2, 4, of four positives."""
    codes = {**OXFORD, "p3.jpg": np.float32([9, 0]), "p4.jpg": np.float32([1, 0]), "p6.jpg": np.float32([4, 0])}
    path = write_codes(tmp_path / "codes.h5", {name: codes[name] for name in codes if name != "p5.jpg"})
    truth = write_oxford(tmp_path / "gt")
    facts = run(path, "oxford", ground_truth=truth, output=tmp_path / "OUT").as_dict()
    ap = (1 + 1 + (2 / 3 + 3 / 4) / 2) / 4
    assert facts["map"] == pytest.approx(ap, FLOAT64)
    assert facts["counts"]["missing_positives"] == 1
    assert facts["queries"] == [
        {"query": "hall_1", "ap": facts["map"], "ap_stepwise": facts["map_stepwise"], "positives": 4, "first_rank": 1,
         "rectangle": [1.0, 2.0, 30.0, 40.0]}
    ]  # fmt: skip
    rows = read_csv(tmp_path / "OUT" / "ranked.csv")
    assert [(row["id"], row["relevant"]) for row in rows] == [
        ("p1.jpg", "1"), ("p2.jpg", "1"), ("p6.jpg", "0"), ("p3.jpg", "1"),
    ]  # fmt: skip


def test_queries_may_have_codes_of_their_own(tmp_path):
    """Of the rectangle cut out: by the name of the query, else of its picture."""
    path = write_codes(tmp_path / "codes.h5", OXFORD)
    truth = write_oxford(tmp_path / "gt")
    for name in ("hall_1.png", "cut/p1.jpg"):
        cut = write_codes(tmp_path / "cut.h5", {name: np.float32([6, 0]), "another.jpg": np.float32([0, 0])})
        run(path, "paris", ground_truth=truth, query_codes=cut, output=tmp_path / "OUT", overwrite=True)
        found = [row["id"] for row in read_csv(tmp_path / "OUT" / "ranked.csv")]
        assert found == ["p6.jpg", "p5.jpg", "p3.jpg", "p2.jpg", "p1.jpg"]
    wrong = write_codes(tmp_path / "wrong.h5", {"x.jpg": np.float32([6, 0])})
    with pytest.raises(UsageError, match=r"wrong\.h5 has no codes of 1 of 1 queries \('hall_1'\). Name its items like"):
        run(path, "paris", ground_truth=truth, query_codes=wrong)
    wrong = write_codes(tmp_path / "wrong.h5", {"p1": np.float32([6, 0])}, provenance={**PROVENANCE, "feature": "fc6"})
    with pytest.raises(UsageError, match=r"were not made as .* \(feature: fc6 there, fc7 here\)"):
        run(path, "paris", ground_truth=truth, query_codes=wrong)
    wrong = write_codes(tmp_path / "wrong.h5", {"p1": np.float32([6, 0, 1])})
    with pytest.raises(UsageError, match=r"the queries have shape \[1, 3\], the database \[6, 2\]"):
        run(path, "paris", ground_truth=truth, query_codes=wrong)


LABELS = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b|a", "n": ""}
PARTS = {"a1": "test", "a2": "train", "a3": "train", "b1": "test", "b2": "train", "n": "train"}


@pytest.fixture
def labelled(tmp_path):
    groups = dict.fromkeys(("a1", "a2"), "g")
    return write_codes(tmp_path / "codes.h5", random_codes(LABELS), LABELS, groups, PARTS)


def asked(facts):
    return {entry["query"]: entry["positives"] for entry in facts.as_dict()["queries"]}


def test_labels_parts_groups_and_manifests(labelled, tmp_path, caplog):
    assert asked(run(labelled, "labels")) == {"a1": 3, "a2": 3, "a3": 3, "b1": 1, "b2": 4}
    assert "1 of 6 items have no label and are no queries" in caplog.text
    assert asked(run(labelled, "labels", exclude_same_group=True)) == {"a1": 2, "a2": 2, "a3": 3, "b1": 1, "b2": 4}
    assert asked(run(labelled, "labels", split="split1")) == {"a1": 3, "b1": 1}
    only = run(labelled, "labels", queries="test", database="train")
    assert asked(only) == {"a1": 3, "b1": 1}
    assert only.as_dict()["n_database"] == 4
    assert asked(run(labelled, "labels", queries="all", database="test")) == {"a2": 1, "a3": 1, "b2": 2}
    assert "2 of 6 items share no label with another item and are no queries" in caplog.text
    (tmp_path / "m.csv").write_text("id,label\na1,x\nb1,x\nb2,y\n")
    other = run(labelled, "labels", manifest=tmp_path / "m.csv")
    assert asked(other) == {"a1": 1, "b1": 1}
    assert other.as_dict()["n_database"] == 3


def test_labels_are_judged_as_by_all_pairs(labelled, tmp_path):
    facts = run(labelled, "labels", queries="test", database="train", output=tmp_path / "OUT").as_dict()
    codes = random_codes(LABELS)
    database = [name for name in sorted(PARTS) if PARTS[name] == "train"]
    for entry in facts["queries"]:
        order = [database[row] for _, row in oracle.ranking(codes[entry["query"]], [codes[n] for n in database], "l2")]
        positives = {n for n in database if set(LABELS[n].split("|")) & set(LABELS[entry["query"]].split("|"))}
        assert entry["ap"] == pytest.approx(oracle.oxford_ap(positives, set(), order), FLOAT64)
        rows = [row for row in read_csv(tmp_path / "OUT" / "ranked.csv") if row["query"] == entry["query"]]
        assert [row["id"] for row in rows] == order
        assert [row["relevant"] == "1" for row in rows] == [name in positives for name in order]


def test_sets_of_codes(tmp_path):
    path = write_codes(tmp_path / "codes.h5", random_codes(HOLIDAYS), sets=("C=1", "C=10"))
    with pytest.raises(UsageError, match=r"has the sets C=1, C=10; choose one with --set"):
        run(path)
    with pytest.raises(UsageError, match=r"has no set 'C=2'; it has C=1, C=10. Choose one with --set"):
        run(path, set="C=2")
    assert run(path, set="C=10").as_dict()["set"] == "C=10"
    with pytest.raises(UsageError, match=r"has no codes\. Encode at least one item"):
        run(write_codes(tmp_path / "none.h5", {}))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "split2"}, "The codes have no split 'split2'; they have split1."),
        ({"split": "split1", "queries": "val"}, "Split 'split1' has no val items among the 6 codes"),
    ],
)
def test_wrong_splits_are_refused(labelled, options, words):
    with pytest.raises(UsageError) as refused:
        run(labelled, "labels", **options)
    assert words in str(refused.value)


def test_a_part_of_no_split_or_of_several(tmp_path):
    path = write_codes(tmp_path / "codes.h5", random_codes(LABELS), LABELS)
    with pytest.raises(UsageError, match=r"The part 'test' needs a split, and the codes have none. Give --manifest"):
        run(path, "labels", queries="test")
    with pytest.raises(UsageError, match="--split s needs a split, and the codes have none"):
        run(path, "labels", split="s")
    (tmp_path / "m.csv").write_text("id,split1,split2\na1,test,train\na2,train,test\n")
    with pytest.raises(UsageError, match="'train' is one of the splits split1, split2; choose which with --split"):
        run(path, "labels", database="train", manifest=tmp_path / "m.csv")


def test_an_output_is_replaced_only_when_asked(holidays, tmp_path):
    run(holidays, output=tmp_path / "OUT")
    with pytest.raises(UsageError, match=r"OUT exists already\. Choose another output, or --overwrite to replace it"):
        run(holidays, output=tmp_path / "OUT")
    run(holidays, output=tmp_path / "OUT", overwrite=True, top=1)
    assert len(read_csv(tmp_path / "OUT" / "ranked.csv")) == 4
    (tmp_path / "OUT" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 'notes\.txt', which vidfeat does not write"):
        run(holidays, output=tmp_path / "OUT", overwrite=True)
    with pytest.raises(UsageError, match=r"does not exist\. Create it first"):
        run(holidays, output=tmp_path / "no" / "OUT")


def test_a_failed_search_leaves_the_old_output(holidays, tmp_path, monkeypatch):
    run(holidays, output=tmp_path / "OUT", top=1)
    monkeypatch.setattr(retrieve, "_write_csv", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(holidays, output=tmp_path / "OUT", overwrite=True)
    assert len(read_csv(tmp_path / "OUT" / "ranked.csv")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["OUT", "codes.h5"]


@pytest.mark.parametrize(
    ("protocol", "options", "words"),
    [
        ("oxford", {}, "--protocol oxford needs --ground-truth, the folder of its *_query.txt"),
        ("labels", {"ground_truth": "gt"}, "--ground-truth belongs to --protocol holidays, oxford, paris, but labels"),
        ("holidays", {"split": "s"}, "--split belongs to --protocol labels, but holidays came. Leave it out."),
        ("holidays", {"exclude_same_group": True}, "--exclude-same-group belongs to --protocol labels"),
        ("labels", {"query_codes": "c.h5"}, "--query-codes belongs to --protocol holidays, oxford, paris"),
        ("labels", {"top": 0}, "--top is 0; it must be above 0"),
        ("labels", {"images": "x"}, "--images came without --contact-sheet, the picture that it is for"),
        ("labels", {"rows": 3}, "--rows came without --contact-sheet"),
        ("labels", {"contact_sheet": "s.png"}, "--contact-sheet needs --images, the folder that the ids"),
        ("labels", {"contact_sheet": "s.jpg", "images": "x"}, "sheet s.jpg must end in .png; its suffix is '.jpg'"),
        ("labels", {"contact_sheet": "s.png", "images": "x", "rows": 99}, "--rows is 99; a sheet has 50 at most"),
        ("labels", {"contact_sheet": "s.png", "images": "x", "rows": 9, "show": ["a"]}, "--show and --rows contradict"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(tmp_path, protocol, options, words):
    paths = {"ground_truth", "query_codes", "images", "contact_sheet"}
    given = {name: Path(value) if name in paths else value for name, value in options.items()}
    with pytest.raises(UsageError) as refused:
        RetrieveConfig(tmp_path / "codes.h5", protocol, **given)
    assert words in str(refused.value)


def test_a_device_that_is_not_there(holidays):
    with pytest.raises(UsageError, match="unknown device 'tpu'; allowed are cpu, cuda"):
        retrieve.run(RetrieveConfig(holidays, "holidays", device="tpu"))
