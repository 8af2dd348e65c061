"""Checks that a test set is one."""

from collections.abc import Collection

from vidfeat.errors import UsageError

_NAMED = 5


def check_disjoint(
    train_ids: Collection[str],
    test_ids: Collection[str],
    train_groups: Collection[str] = (),
    test_groups: Collection[str] = (),
) -> None:
    """Raise UsageError when training and test items share an item, or a group (recording, person, source file).

    Near-duplicates from one group on both sides make test results look better than they are.
    """
    for kind, train, test in (("item", train_ids, test_ids), ("group", train_groups, test_groups)):
        shared = sorted(set(train) & set(test))
        if shared:
            named = ", ".join(map(repr, shared[:_NAMED])) + (", …" if len(shared) > _NAMED else "")
            raise UsageError(
                f"Training and test part share {len(shared)} {kind}{'s' * (len(shared) > 1)}: {named}. "
                f"Each {kind} may be in one part only: correct the split column or the group column of the manifest."
            )
