"""Every tolerance of the suite, each with its reason. Import from here; do not write numbers into tests."""

# Relative duality gap of the rank-pooling solver: float64 rounding of a well-conditioned T×T system leaves ~1e-12.
DUALITY_GAP = 1e-9

# Features of the same pixels computed with another batch size, memory format or folded batch norm, as a share of the
# feature's spread (norm of the deviation from its mean): float32 sums in another order. DESIGN's bar for "equal".
SAME_FEATURES = 1e-5

# Features of the same pixels in fp32 from a fused network against plain torchvision (issue's bar).
FUSED_FEATURES = 1e-3

# The same in bf16: 8 bits of mantissa through ~50 layers.
BF16_FEATURES = 0.15

# A float64 result against the same formula in another order of summation.
FLOAT64 = 1e-10

# The same where inputs or results are float32.
FLOAT32 = 1e-6

# An inner product of float32 vectors of which at most 64 products are summed in float32 one after the other, then as a
# tree and in float64: a share of the product of their norms, 67 roundings of 6e-8 at worst.
SINGLE_SUM = 4e-6

# Rank-pooling objective against LIBLINEAR at tol 1e-10, relative: coordinate descent stops short of the exact optimum.
LIBLINEAR_OBJECTIVE = 1e-7

# A gradient of rank pooling against the same formula with the whole Hessian, relative: two ways to solve a system of
# condition C·T ~ 1e4.
GRADIENT = 1e-9

# Decision values against another build of LIBSVM, both at tol 1e-9: LIBSVM keeps its kernel cache in float32.
DECISION_VALUES = 1e-6

# Grey levels between converted pixels and the plain YUV formula. Full-resolution chroma: rounding to 8 bits only.
# Subsampled chroma goes through FFmpeg's table-driven path, which rounds each table entry (measured: up to 3.2).
YUV_444 = 0.6
YUV_420 = 3.5

# Grey levels of a lossless clip's frames after RGB -> YUV -> RGB, and of a visually lossless H.264 clip (crf 18).
CODED_GREY = 4

# Mean end-point error in pixels on Middlebury's RubberWhale, at most: about 0.01 above what OpenCV 5.0 gives (TV-L1
# 0.1562, DIS medium 0.2235, Farneback 0.3275), because releases differ.
RUBBERWHALE = {"tvl1": 0.166, "dis": 0.234, "farneback": 0.338}

# Pixels, mean: a smooth picture moved by a few pixels, away from the borders. Below what the regulariser takes.
KNOWN_MOTION = 0.05

# TV-L1 fields, mean absolute difference in pixels (the project's bar). The iteration amplifies rounding: OpenCV without
# IPP differs from OpenCV with it by up to 0.014.
SAME_FIELD = 0.02

# The same after 60 iterations of one warp, largest difference in pixels, before anything is amplified.
SAME_ITERATIONS = 1e-4

# The same after a few ten iterations of several warps: float32 sums in another order (measured 5e-5).
SAME_FEW_ITERATIONS = 5e-4

# Grey levels, largest difference. OpenCV's resize without IPP rounds places to float32: 0.004; cubic weights: 2e-4.
SAME_RESIZE = 0.01
SAME_WARP = 1e-3

# Codes of local features against plain loops in float64, largest difference: sums of blocks are float32, and square
# roots of small numbers widen it (measured 2e-6).
LOCAL_CODES = 1e-5

# The same against VLFeat, which computes in float32 throughout (the project's bar).
VLFEAT = 1e-5

# The same of one video by other ways: sums in other blocks, and float16 maps that another batch rounds another way. The
# clips are flat pictures, whose residuals are a hundredth of the features that they are differences of (measured 5e-5).
SAME_CODE = 2e-4

# k-means objectives after the same iterations from different starts, or after rounding has led another way, relative
# (the project's bar).
SAME_OBJECTIVE = 5e-3

# Mean log-likelihood of Gaussian mixtures, in nats per sample, from the same start: float32 products of standardised
# samples against float64 (measured 1e-5). The project's bar is 0.5 %.
LOG_LIKELIHOOD = 1e-3

# Parameters of such mixtures, as shares of the deviation of the samples: the same cause (measured 1e-6).
SAME_MIXTURE = 1e-4

# Projections on principal components, whitened, against float64: components and result are float32 (measured 2e-6).
SAME_PROJECTION = 2e-5

# Relative duality gap of multiple-kernel learning (the project's bar).
MKL_GAP = 1e-3

# Its weights against a general solver's (the project's bar): where the objective is flat, weights are least certain.
GENERIC_WEIGHTS = 1e-3

# The same weights from other inputs, both to a gap of 1e-7: half of its square root.
SAME_WEIGHTS = 2e-4

# Decision values of such machines: LIBSVM's tolerance, and the weights above.
LEARNT_SCORES = 2e-3

# Central differences of a loss in float64 at step 1e-6, relative: rounding of the loss (1e-16/1e-6) and curvature.
FINITE_DIFFERENCE = 1e-5

# Weights after a few steps of two processes, largest difference from those of one: the order of float32 sums.
TWO_RANKS = 1e-5

# Scores of an SVM with its Gram matrix kept in float32, or trained again at LIBSVM's own tolerance of 1e-3: entries
# that differ by 1e-7 lead it to another point within that tolerance (measured 1e-3).
LIBSVM_DEFAULT_TOL = 5e-3

# Weights of an SVM at tol 1e-9 from a Gram matrix of float32 entries (measured 3e-7).
FLOAT32_WEIGHTS = 1e-4
