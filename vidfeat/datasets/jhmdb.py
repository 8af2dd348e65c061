"""JHMDB: 928 clips of 21 actions of HMDB51, three splits.

Lists: ``splits/CLASS_test_splitK.txt`` with ``clip.avi FLAG``; 1 is train, 2 is test. Source: H. Jhuang, J. Gall,
S. Zuffi, C. Schmid, M. J. Black, *Towards Understanding Action Recognition*, 2013.
"""

from vidfeat.datasets.hmdb51 import read_flagged
from vidfeat.datasets.official import Official, Place


def read(place: Place) -> Official:
    """The items of JHMDB. ``sub_splits/``, for the clips that show whole bodies, has lists of the same form: they must
    be asked for with ``--splits``.
    """
    folder = place.lists("*_test_split*.txt", "JHMDB's CLASS_test_split1.txt, …", prefer=("splits",))
    return read_flagged(folder, {})
