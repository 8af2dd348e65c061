"""Training one classifier on labelled codes: which solver, C and γ by cross-validation, probabilities."""

import logging
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from vidfeat.classify.bases import Bases
from vidfeat.classify.crossval import C_GRID, GAMMA_GRID, CrossValidation, choose_C
from vidfeat.classify.kernel_model import KernelModel, uncentred
from vidfeat.classify.labels import indicator
from vidfeat.classify.linear_model import LinearModel
from vidfeat.classify.platt import Calibration
from vidfeat.classify.svm import LibSVC, linear_weights
from vidfeat.errors import UsageError
from vidfeat.kernels import WITH_GAMMA, Centring
from vidfeat.progress import Progress
from vidfeat.stages.config.svm import FLOAT32_FROM, GPU_FROM, LIBLINEAR_FROM, SvmTrainConfig
from vidfeat.stages.grams import PRECOMPUTED
from vidfeat.stages.labelled import LabelledCodes

log = logging.getLogger("vidfeat")


@dataclass(frozen=True)
class Fitted:
    """A classifier, and how it came about."""

    model: LinearModel | KernelModel
    C: float
    gammas: tuple[float | None, ...]  # as used, one per codes file
    centring: Centring | None  # None with LIBLINEAR
    validation: CrossValidation | None  # on the training part; None if there was nothing to choose or to calibrate
    calibration: Calibration | None
    support: np.ndarray | None  # rows of the training part that are support vectors; None with LIBLINEAR

    @property
    def gamma(self) -> float | None:
        """The only one, or None."""
        return self.gammas[0] if len(self.gammas) == 1 else None


def solver_of(config: SvmTrainConfig, n_train: int) -> str:
    """``libsvm`` or ``liblinear``; says so where that was not asked for."""
    if config.solver != "auto":
        return config.solver
    if n_train <= LIBLINEAR_FROM:
        return "libsvm"
    if config.kernel == "linear" and config.multiclass == "ovr":
        log.info("%d training items: linear SVMs are trained by LIBLINEAR (--solver libsvm is exact).", n_train)
        return "liblinear"
    gigabytes = 20e-9 * n_train**2
    log.warning("%d training items: LIBSVM with a Gram matrix takes about %.0f GB of memory.", n_train, gigabytes)
    return "libsvm"


def bases_of(data: LabelledCodes, config: SvmTrainConfig, solver: str) -> Bases | None:
    """The base matrices of all items, computed once; None with LIBLINEAR."""
    if solver == "liblinear":
        return None
    if config.kernel == PRECOMPUTED:
        return Bases(PRECOMPUTED, tuple(data.arrays))
    n = len(data.ids)
    single = config.gram_precision == "float32" or (config.gram_precision == "auto" and n > FLOAT32_FROM)
    return Bases.of_codes(
        config.kernel,
        data.arrays,
        relative=config.gamma in ("mean", "auto"),
        dtype=np.float32 if single else np.float64,
        device=device_of(config.device, n),
    )


def device_of(name: str, n: int) -> str:
    """The device that base matrices are computed on."""
    if name == "cpu" or (name == "auto" and n < GPU_FROM):
        return "cpu"
    import torch  # takes seconds, and is needed for nothing else here

    from vidfeat.precision import check_device

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(check_device(name))


def fit(
    part: LabelledCodes,
    y: np.ndarray,
    classes: list[str],
    bases: Bases | None,
    config: SvmTrainConfig,
    one_of_several: bool,
    show_progress: bool = False,
) -> Fitted:
    """Choose C and γ on this part alone, if they are to be chosen, and train. One of several sets is scored at a fixed
    C too. ``bases`` are those of this part; None: LIBLINEAR."""
    if config.multiclass == "ovo" and y.ndim == 2:
        raise UsageError(
            "--multiclass ovo needs exactly one label for every training item, and some have several or none. Use ovr."
        )
    chosen = None
    gammas = _gammas(config)
    if config.C == "auto" or len(gammas) > 1 or one_of_several or config.probabilities:
        chosen = _cross_validate(part, y, bases, config, gammas, show_progress)
        log.debug("C = %g by cross-validation: %s", chosen.C, dict(zip(chosen.grid, chosen.scores, strict=True)))
    C = chosen.C if chosen else float(config.C)
    calibration = None
    if config.probabilities:
        true = indicator(part.labels, classes)
        calibration = Calibration.fit(chosen.held_out, true, one_label=y.ndim == 1)
    if bases is None:
        from vidfeat.classify.liblinear import train_liblinear

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            W, b = train_liblinear(np.hstack(part.arrays), y, C, _class_weights(config))
        for warning in caught:
            log.warning("%s", warning.message)
        return Fitted(LinearModel(W, b, len(classes)), C, (None,), None, chosen, calibration, None)
    K, blend = bases.train(None, chosen.gamma if chosen else gammas[0])
    trained = LibSVC(C=C, kernel="precomputed", multiclass=config.multiclass, class_weights=_class_weights(config))
    trained.fit(K, y)
    dual, intercept, centring = trained.dual_coef_, trained.intercept_, trained.centring_
    multiclass = "ovo" if config.multiclass == "ovo" and len(classes) > 2 else "ovr"
    support = np.flatnonzero((dual != 0).any(axis=0))
    if config.kernel == "linear":
        W, b = linear_weights(part.arrays, blend.scales, dual, intercept, centring)
        if len(W) == 1:
            W, b = np.vstack([-W, W]), np.hstack([-b, b])
        model = LinearModel(W, b, len(classes), multiclass)
    else:
        dual, intercept = uncentred(dual, intercept, centring)
        vectors = () if config.kernel == PRECOMPUTED else tuple(X[support] for X in part.arrays)
        model = KernelModel(blend, vectors, dual[:, support], intercept, len(classes), multiclass)
    return Fitted(model, C, blend.gammas, centring, chosen, calibration, support)


def _cross_validate(part, y, bases, config: SvmTrainConfig, gammas, show_progress: bool) -> CrossValidation:
    grid = C_GRID if config.C == "auto" else (float(config.C),)
    weights, folds = _class_weights(config), min(config.folds, len(set(part.groups)))
    with Progress(len(gammas) * folds if show_progress else 0, unit="folds") as progress:
        on_fold = (lambda: progress.item_done("done")) if show_progress else None
        if bases is None:
            from vidfeat.classify.liblinear import choose_C_liblinear

            X = np.hstack(part.arrays)
            with warnings.catch_warnings():  # whether the chosen C converges, training will say
                warnings.simplefilter("ignore", ConvergenceWarning)
                return choose_C_liblinear(X, y, part.groups, grid, config.folds, weights, on_fold=on_fold)
        return choose_C(
            bases, y, part.groups, grid, config.folds, gammas=gammas, multiclass=config.multiclass,
            class_weights=weights, on_fold=on_fold,
        )  # fmt: skip


def _gammas(config: SvmTrainConfig) -> tuple[float | None, ...]:
    """Values to try: multiples of 1 / mean distance, or the number that was given."""
    if config.kernel not in WITH_GAMMA:
        return (None,)
    if config.gamma == "auto":
        return GAMMA_GRID
    return (1.0,) if config.gamma == "mean" else (float(config.gamma),)


def _class_weights(config: SvmTrainConfig) -> str | None:
    return None if config.class_weights == "none" else config.class_weights
