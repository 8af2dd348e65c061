"""k-means and Gaussian mixtures from their definitions, with plain loops over samples, in float64."""

import math

import numpy as np


def nearest(x, centers):
    """Number and squared distance of the nearest centre of each sample."""
    words, distances = [], []
    for sample in x:
        to_each = [sum((a - b) ** 2 for a, b in zip(sample, center, strict=True)) for center in centers]
        words.append(int(np.argmin(to_each)))
        distances.append(min(to_each))
    return np.array(words), np.array(distances)


def lloyd_step(x, centers):
    """Centres after one iteration, their counts, and the objective before it; an empty centre stays."""
    words, distances = nearest(x, centers)
    moved, counts = centers.copy(), np.zeros(len(centers), int)
    for c in range(len(centers)):
        own = [sample for sample, word in zip(x, words, strict=True) if word == c]
        counts[c] = len(own)
        if own:
            moved[c] = sum(own) / len(own)
    return moved, counts, sum(distances)


def log_densities(sample, weights, means, variances):
    """ln π_k N(x; μ_k, σ_k²) for each k."""
    values = []
    for weight, mean, variance in zip(weights, means, variances, strict=True):
        value = math.log(weight)
        for x, m, v in zip(sample, mean, variance, strict=True):
            value -= 0.5 * (math.log(2 * math.pi * v) + (x - m) ** 2 / v)
        values.append(value)
    return np.array(values)


def posteriors(x, weights, means, variances):
    """ln p(x) of each sample, and the posteriors of each component."""
    log_likelihood, gamma = [], []
    for sample in x:
        values = log_densities(sample, weights, means, variances)
        total = values.max() + math.log(sum(math.exp(value - values.max()) for value in values))
        log_likelihood.append(total)
        gamma.append([math.exp(value - total) for value in values])
    return np.array(log_likelihood), np.array(gamma)


def em_step(x, weights, means, variances, floor):
    """The next mixture, and the mean log-likelihood of this one; ``floor [d]`` bounds variances from below."""
    log_likelihood, gamma = posteriors(x, weights, means, variances)
    mass = gamma.sum(axis=0)
    new_means, new_variances = np.zeros_like(means), np.zeros_like(variances)
    for k in range(len(weights)):
        new_means[k] = sum(g[k] * sample for g, sample in zip(gamma, x, strict=True)) / mass[k]
        spread = sum(g[k] * (sample - new_means[k]) ** 2 for g, sample in zip(gamma, x, strict=True)) / mass[k]
        new_variances[k] = np.maximum(spread, floor)
    return mass / len(x), new_means, new_variances, log_likelihood.mean()
