"""Classifiers on codes: SVMs by LIBSVM and LIBLINEAR, the choice of C and γ, probabilities, the checks of a split.

Names load on first use, because scikit-learn and LIBSVM's Python package take a second to import.
"""

from importlib import import_module

_HOME = {
    "LibSVC": "svm",
    "MultipleKernelSVC": "mkl",
    "choose_C": "crossval",
    "CrossValidation": "crossval",
    "C_GRID": "crossval",
    "GAMMA_GRID": "crossval",
    "Bases": "bases",
    "Calibration": "platt",
    "train_liblinear": "liblinear",
    "choose_C_liblinear": "liblinear",
    "group_folds": "crossval",
    "check_disjoint": "splits",
    "ChosenWeights": "fusion",
    "choose_weights": "fusion",
    "fuse_scores": "fusion",
    "normalise_scores": "fusion",
    "class_names": "labels",
    "indicator": "labels",
    "linear_model_text": "model_text",
    "parse_linear_model": "model_text",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
