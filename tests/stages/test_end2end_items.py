"""Which items train, choose and judge; every list that cannot be trained on is refused in words."""

from pathlib import Path

import pytest
import torch

from vidfeat.datasets.items import Item
from vidfeat.errors import UsageError
from vidfeat.stages.config.end2end import End2EndTrainConfig
from vidfeat.stages.end2end_items import groups_of, parts_of


def item(number, label, part, group="", split="split"):
    labels = tuple(label.split("|")) if label else ()
    splits = {split: part} if part else {}
    return Item(id=f"v{number}", path=Path(f"v{number}.mp4"), labels=labels, group=group, splits=splits)


def config(**options):
    return End2EndTrainConfig(inputs=[Path("set.csv")], output=Path("RUN"), **options)


GOOD = [item(0, "a", "train"), item(1, "b", "train"), item(2, "a", "val"), item(3, "b", "test"), item(4, "a", "")]


def test_parts_and_targets():
    parts = parts_of(GOOD, config())
    ids = [[one.id for one in part] for part in (parts.train, parts.validation, parts.test)]
    assert ids == [["v0", "v1"], ["v2"], ["v3"]]
    assert parts.classes == ["a", "b"]
    assert torch.equal(parts.targets(parts.train, "ce"), torch.tensor([0, 1]))
    assert torch.equal(parts.targets(parts.train, "hinge"), torch.eye(2, dtype=torch.int64))
    assert parts_of(GOOD, config(validation="none")).validation == []
    assert parts.sha256 != parts_of([*GOOD[:4], item(5, "b", "train")], config()).sha256


def test_several_labels_are_for_hinge():
    items = [*GOOD, item(6, "a|b", "train")]
    assert parts_of(items, config(loss="hinge")).targets(items[-1:], "hinge").tolist() == [[1, 1]]
    with pytest.raises(UsageError, match=r"1 items have several labels \(first: 'v6'\).*Use --loss hinge"):
        parts_of(items, config())


def test_a_share_for_validation_takes_whole_groups_and_leaves_every_class_something():
    items = [item(n, "ab"[n % 2], "train", group=f"g{n // 4}") for n in range(40)] + [item(99, "a", "test")]
    parts = parts_of(items, config(val_share=0.25))
    assert len(parts.validation) == 8  # two whole groups; a third would be more than a quarter
    assert set(groups_of(parts.train)).isdisjoint(groups_of(parts.validation))
    assert len(parts.train) + len(parts.validation) == 40
    assert parts_of(items, config(val_share=0.25)) == parts
    assert parts_of(items, config(val_share=0.25, seed=1)).validation != parts.validation
    lone = [item(0, "a", "train"), item(1, "b", "train"), item(2, "a", "test")]
    with pytest.raises(UsageError, match="leaves no whole group to take without a class losing all"):
        parts_of(lone, config(val_share=0.5))


@pytest.mark.parametrize(
    ("items", "options", "words"),
    [
        ([item(0, "a", "")], {}, "The items have no split. Give a manifest with a column split"),
        (GOOD, {"split": "split2"}, "The items have no split 'split2'; they have split."),
        ([*GOOD, item(7, "a", "train", split="split2")], {}, "have the splits split, split2; choose one with --split"),
        (GOOD[:3], {}, "Split 'split' has no test items among the 3 listed"),
        (GOOD[2:], {}, "Split 'split' has no train items"),
        ([*GOOD, item(7, "", "train")], {}, r"1 training items have no label \(first: 'v7'\)"),
        ([GOOD[0], item(8, "a", "train"), item(9, "a", "test")], {}, "All training items have the class 'a'"),
        ([*GOOD, item(7, "c", "test")], {}, "No training item of split 'split' has the class 'c', which test items"),
        ([*GOOD, item(7, "c", "val")], {}, "has the class 'c', which validation items have"),
        ([*GOOD[:3], item(7, "", "test")], {}, "None of the 1 test items has a label"),
        ([*GOOD[:2], GOOD[3]], {"validation": "val"}, "calls no item val. Use --val-share 0.2"),
        ([*GOOD[:2], GOOD[3]], {"patience": 3}, "--patience needs validation.*Give --val-share"),
        ([item(0, "a", "train", "g"), GOOD[1], item(3, "b", "test", "g")], {}, "share 1 group: 'g'"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_words(items, options, words):
    with pytest.raises(UsageError, match=words):
        parts_of(items, config(**options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool": "avg", "C": 1.0}, r"--C 1.0 has no effect with --pool avg, only with --pool rankpool"),
        ({"pool": "pyramid", "gradient": "diag"}, "--gradient diag has no effect with --pool pyramid"),
        ({"levels": 3}, "--levels 3 has no effect with --pool rankpool, only with --pool pyramid"),
        ({"dim": 8}, "--dim 8 has no effect with --backbone alexnet, only with --backbone small"),
        ({"backbone": "small", "layer": "fc7"}, "--layer fc7 has no effect with --backbone small"),
        ({"backbone": "small", "weights": "x.pth"}, "--weights x.pth does not go with --backbone small"),
        ({"flow_stack": 5}, "--flow-stack 5 has no effect with --stream rgb, only with flow or rgb,flow"),
        ({"tau": 0.1}, "--tau 0.1 has no effect with --stream rgb"),
        ({"stream": "flow", "method": "dis", "tau": 0.1}, "--tau 0.1 has no effect with --method dis"),
        ({"features": Path("f.h5"), "fps": 6.0}, "--fps has no effect with --features"),
        ({"feature": "fc7"}, "--feature fc7 has no effect without --features"),
        ({"val_share": 1.5}, "--val-share is 1.5; it must be between 0 and 1"),
        ({"val_share": 0.2, "validation": "val"}, "--val-share and --validation contradict each other"),
        ({"patience": 2, "validation": "none"}, "--patience needs validation"),
        ({"rescale": True}, "--rescale has no effect without --surrogate K"),
        ({"smallest_crop": 0.0}, "--smallest-crop is 0; it must be above 0, and 1 at most"),
        ({"lr_at": "8,x"}, "--lr-at is '8,x'; it must be epochs joined by commas"),
        ({"epochs": 0}, "--epochs is 0; it must be above 0"),
        ({"workers": -1}, "--workers is -1; it must be 0 or more"),
        ({"momentum": -0.5}, "--momentum is -0.5; it must be a number of 0 or more"),
    ],
)
def test_options_that_do_not_go_together_are_refused_with_words(options, words):
    with pytest.raises(UsageError, match=words):
        config(**options)
