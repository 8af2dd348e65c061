"""TV-L1 optical flow exactly as OpenCV 5's CPU ``DualTVL1OpticalFlow`` computes it (gamma 0, no initial flow).

Minimises Σ |∇u1| + |∇u2| + λ·|I1(x + u) − I0(x)| over flows u in pixels, coarse to fine; I0, I1 are grey levels 0…255.
All arithmetic is float32. Written from the method of Zach, Pock, Bischof, "A duality based approach for realtime TV-L1
optical flow" (2007), Sánchez, Meinhardt-Llopis, Facciolo, "TV-L1 optical flow estimation" (IPOL 2013), and from
experiments against OpenCV, which decided every detail below. With OpenCV 5.0 on x86 (AVX2, IPP) the result is OpenCV's
bit for bit, except where a pyramid level has a last row or column that lies beyond the last pixel of the level above
(IPP rounds that one in another way).

1. Pyramid. Level 0 is the image (uint8 as it is, float times 255). A level of h × w is followed by one of round(h·s) ×
   round(w·s), halves to even, s = scale_step, as long as both its sides are ≥ 16 and there are fewer than scales.
   Level 0 is always kept. Bilinear: output k lies at (k + 0.5)/s − 0.5, in double (1/s is not the ratio of the sizes);
   places before the first or after the last pixel take that pixel. Along x first, then along y.
2. From the coarsest level, where u = 0, to level 0: the dual field p (two vectors per pixel) starts at 0 on every level
   and is *kept* from warp to warp. Between levels u is resized (bilinear, output k lies at (k + 0.5)·old/new − 0.5, the
   true ratio of sizes along each axis) and then multiplied by 1/s; p is not passed on.
3. Gradient of I1, once per level: half the difference of the two neighbours; at a border pixel the missing neighbour
   is the pixel itself, and the half stays.
4. ``warps`` times: I1 and both gradients are sampled at (x + u1, y + u2) by cubic convolution (a = −0.75, coordinates
   not rounded); a tap outside the image counts as 0. With W, Wx, Wy so warped: g = Wx² + Wy²,
   ρc = W − Wx·u1 − Wy·u2 − I0 (left to right), both with the u before the median filter.
   OpenCV 4 rounded the coordinates to 1/32 pixel: ``steps=32``.
5. error = ∞; at most ``outer_iterations`` times while error > ε²·h·w: if median_filter > 1, u1 and u2 are each
   filtered (3 × 3 or 5 × 5, borders repeat the edge pixel); then at most ``inner_iterations`` times, same condition:
   a. ρ = ρc + (Wx·u1 + Wy·u2), L = λ·θ; v = u + L·(Wx, Wy) if ρ < −L·g, u − L·(Wx, Wy) if ρ > L·g,
      u − (ρ/g)·(Wx, Wy) if neither and g > 2⁻²³, else u.
   b. u' = v + θ·div p; div p = (px − px left) + (py − py above), what lies outside counts as 0; in the first column the
      order is (px + py) − py above.
   c. error = Σ |u' − u|² over the pixels in raster order; then u = u'.
   d. q = forward differences of u, 0 at the last column (x) or row (y); p = (p + (τ/θ)·q)/(1 + (τ/θ)·|q|), for u1 and
      u2 alike, also in the last iteration.
   The error is that of the iteration just done, so every warp has at least one iteration and one median filter, and
   another median filter for each whole block of ``inner_iterations`` after which the error is still too large.

The iteration amplifies rounding: OpenCV without IPP differs from OpenCV with it by 0.006 to 0.01 pixels in the mean on
small real pairs, and nothing that rounds in another way can be expected to come closer.
"""

import math

import numpy as np
import torch
from torch.nn.functional import pad

SMALLEST = 16


def tvl1(
    prev,
    following,
    *,
    tau=0.25,
    lambda_=0.15,
    theta=0.3,
    scales=5,
    warps=5,
    epsilon=0.01,
    inner_iterations=30,
    outer_iterations=10,
    scale_step=0.8,
    median_filter=5,
    steps=None,
):
    """Flow [2, H, W] (x then y, pixels) of two grey images [H, W], uint8 or float 0…1, and the iterations of each warp.

    The list of iterations goes from the coarsest level to the finest. steps: coordinates are rounded to 1/steps.
    """
    iteration = {
        "tau": tau,
        "lambda_": lambda_,
        "theta": theta,
        "epsilon": epsilon,
        "inner_iterations": inner_iterations,
        "outer_iterations": outer_iterations,
        "median_filter": median_filter,
    }
    levels = pyramid(torch.stack([grey(prev), grey(following)]), scales, scale_step)
    u = torch.zeros_like(levels[-1])
    counts = []
    for number, (first, second) in enumerate(reversed(levels)):
        if number:
            ratio = [old / new for old, new in zip(u.shape[1:], first.shape, strict=True)]
            u = resize(u, first.shape, ratio) * (1 / scale_step)
        p = torch.zeros(2, 2, *first.shape)
        planes = torch.stack([second, *centred_gradient(second)])
        for _ in range(warps):
            warped, *gradient = warp(planes, u, steps)
            rho_c = warped - gradient[0] * u[0] - gradient[1] * u[1] - first
            u, p, count = minimise(u, p, torch.stack(gradient), rho_c, **iteration)
            counts.append(count)
    return u, counts


def grey(image):
    image = torch.as_tensor(np.asarray(image))
    return image.float() if image.dtype == torch.uint8 else image.float() * 255


def pyramid(images, scales, scale_step):
    levels = [images]
    while len(levels) < scales:
        shape = [round(side * scale_step) for side in images.shape[1:]]
        if min(shape) < SMALLEST:
            break
        images = resize(images, shape, [1 / scale_step] * 2)
        levels.append(images)
    return levels


def minimise(u, p, gradient, rho_c, tau, lambda_, theta, epsilon, inner_iterations, outer_iterations, median_filter):
    """Step 5: (u, p, number of iterations)."""
    square = gradient[0] * gradient[0] + gradient[1] * gradient[1]
    limit = np.float32(epsilon * epsilon * square.numel())
    reach, step, theta = (float(np.float32(number)) for number in (lambda_ * theta, tau / theta, theta))
    error, count = math.inf, 0
    for _ in range(outer_iterations):
        if not error > limit:
            break
        if median_filter > 1:
            u = filtered(u, median_filter)
        for _ in range(inner_iterations):
            if not error > limit:
                break
            rho = rho_c + (gradient[0] * u[0] + gradient[1] * u[1])
            new = u + threshold(rho, square, reach) * gradient + theta * divergence(p)
            change = (new - u) ** 2
            error = np.add.accumulate((change[0] + change[1]).flatten().numpy())[-1]
            u = new
            p = dual(p, forward_gradient(u), step)
            count += 1
    return u, p, count


def fused(a, b, c):
    """a·b + c rounded once, as the fused multiply-add of OpenCV's vector code."""
    return (a.double() * b.double() + c.double()).float()


def axis(old, new, ratio):
    place = (torch.arange(new, dtype=torch.float64) + 0.5) * ratio - 0.5
    place = place.clamp(0, old - 1)
    low = place.long()
    return low, (low + 1).clamp(max=old - 1), (place - low).float()


def resize(images, shape, ratio):
    left, right, weight = axis(images.shape[2], shape[1], ratio[1])
    images = fused(images[..., right] - images[..., left], weight, images[..., left])
    top, bottom, weight = axis(images.shape[1], shape[0], ratio[0])
    return fused(images[:, bottom] - images[:, top], weight[:, None], images[:, top])


def centred_gradient(image):
    wide = pad(image[None], (1, 1, 1, 1), mode="replicate")[0]
    return 0.5 * (wide[1:-1, 2:] - wide[1:-1, :-2]), 0.5 * (wide[2:, 1:-1] - wide[:-2, 1:-1])


def cubic(t):
    """Weights of the taps at −1, 0, 1, 2 for the fraction t in [0, 1), in OpenCV's order of operations."""
    a, one = -0.75, torch.ones_like(t)
    before, after = a * (t * ((1 - t) * (1 - t))), a * ((t * t) * (1 - t))
    near = fused(fused((a + 2) * one, t, -(a + 3) * one), t * t, one)
    return before, near, 1 - before - near - after, after


def warp(planes, u, steps=None):
    """Planes [K, H, W] sampled at the pixels moved by u."""
    height, width = u.shape[1:]
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    x, y = x + u[0], y + u[1]
    if steps:
        x, y = (x * steps).round() / steps, (y * steps).round() / steps
    along, down = cubic(x - x.floor()), cubic(y - y.floor())
    result = torch.zeros_like(planes)
    for j in range(4):
        row = torch.zeros_like(planes)
        for i in range(4):
            column, line = x.floor().long() - 1 + i, y.floor().long() - 1 + j
            inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
            pixels = planes[:, line.clamp(0, height - 1), column.clamp(0, width - 1)]
            row = fused(torch.where(inside, pixels, 0), along[i], row)
        result = fused(row, down[j], result)
    return result


def filtered(planes, size):
    wide = pad(planes[None], [size // 2] * 4, mode="replicate")[0]
    return wide.unfold(1, size, 1).unfold(2, size, 1).flatten(3).median(3).values


def threshold(rho, square, reach):
    """The multiple of the gradient that takes u to v."""
    inner = torch.where(square > torch.finfo(torch.float32).eps, -rho / square, 0)
    return torch.where(rho < -reach * square, reach, torch.where(rho > reach * square, -reach, inner))


def divergence(p):
    x, y = p[:, 0], p[:, 1]
    above = pad(y, (0, 0, 1, -1))
    result = x - pad(x, (1, -1)) + (y - above)
    result[..., 0] = x[..., 0] + y[..., 0] - above[..., 0]
    return result


def forward_gradient(u):
    wide = pad(u[None], (0, 1, 0, 1), mode="replicate")[0]
    return torch.stack([wide[:, :-1, 1:] - u, wide[:, 1:, :-1] - u], 1)


def dual(p, slope, step):
    return (p + step * slope) / (1 + step * torch.hypot(slope[:, :1], slope[:, 1:]))
