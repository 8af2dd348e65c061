"""VLAD, Fisher vectors and bags of words by plain loops over local features ``[n, d]``, in float64."""

import numpy as np


def unit(x: np.ndarray) -> np.ndarray:
    """x / ‖x‖, zero for zero."""
    norm = np.linalg.norm(x)
    return x / norm if norm > 0 else x


def vlad(rows, centers, norm="intra"):
    sums = np.zeros(np.shape(centers))
    for x in np.asarray(rows, np.float64):
        word = min(range(len(centers)), key=lambda k: ((x - centers[k]) ** 2).sum())
        sums[word] += x - centers[word]
    if norm == "intra":
        sums = np.array([unit(word) for word in sums])
    code = sums.ravel()
    return np.sign(code) * np.sqrt(np.abs(code)) if norm == "ssr" else code


def bag_of_words(rows, centers, norm="ssr", sigma=None):
    counts = np.zeros(len(centers))
    for x in np.asarray(rows, np.float64):
        squares = ((x - centers) ** 2).sum(1)
        if sigma is None:
            counts[int(squares.argmin())] += 1
        else:
            weights = np.exp(-(squares - squares.min()) / (2 * sigma**2))
            counts += weights / weights.sum()
    shares = counts / len(rows)
    return np.sqrt(shares) if norm == "ssr" else shares


def fisher(rows, weights, means, variances, norm="ssr"):
    by_mean, by_deviation = np.zeros(np.shape(means)), np.zeros(np.shape(means))
    for x in np.asarray(rows, np.float64):
        logs = np.log(weights) - 0.5 * (np.log(variances) + (x - means) ** 2 / variances).sum(1)
        posteriors = np.exp(logs - logs.max())
        posteriors /= posteriors.sum()
        for k, gamma in enumerate(posteriors):
            t = (x - means[k]) / np.sqrt(variances[k])
            by_mean[k] += gamma * t / (len(rows) * np.sqrt(weights[k]))
            by_deviation[k] += gamma * (t**2 - 1) / (len(rows) * np.sqrt(2 * weights[k]))
    code = np.concatenate([by_mean.ravel(), by_deviation.ravel()])
    return np.sign(code) * np.sqrt(np.abs(code)) if norm == "ssr" else code
