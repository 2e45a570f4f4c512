"""What the training scripts share: the image sets, the input recipe, grouped folds, augmentation, bootstrap.

The recipe here and the service's must give the same tensor; `golden/` beside each model holds the proof. Images are
float32, 0..1, black = air, shape rows x columns, until `fit` makes them a batch.
"""
import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


# ---- image sets -------------------------------------------------------------------------------------------------

def rows(data, name, table="labels.csv"):
    with open(Path(data) / name / table, newline="") as f:
        return list(csv.DictReader(f))


def images(data, name, names, archive="images.zip"):
    """uint8 arrays, one per name."""
    with zipfile.ZipFile(Path(data) / name / archive) as z:
        return [np.asarray(Image.open(io.BytesIO(z.read(n))).convert("L")) for n in names]


def folds(groups, k, seed):
    """Fold number of each row; rows of one group share it. Groups are dealt out by size, largest first."""
    rng = np.random.default_rng(seed)
    names, counts = np.unique(groups, return_counts=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    load, of = np.zeros(k), {}
    for i in order:
        f = int(np.argmin(load))
        of[names[i]] = f
        load[f] += counts[i]
    return np.array([of[g] for g in groups])


# ---- recipe -----------------------------------------------------------------------------------------------------

def resample(image, size):
    """Separable triangle filter, antialiased when shrinking, half-pixel centres, edges renormalised."""
    x = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None]
    return F.interpolate(x, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)[0, 0].numpy()


def reduce_longest(image, longest):
    h, w = image.shape
    top = max(h, w)
    if longest is None or top <= longest:
        return image
    return resample(image, [max(1, int(np.floor(n * longest / top + 0.5))) for n in (h, w)])


def contrast(image, quantiles):
    if quantiles is None:
        return image
    lo, hi = np.quantile(image, quantiles)
    return np.clip((image - lo) / max(hi - lo, 1e-6), 0, 1).astype(np.float32)


def letterbox_size(shape, size):
    """(rows, columns, rows before, columns before) of an image letterboxed into `size`."""
    (h, w), (sh, sw) = shape, size
    s = min(sh / h, sw / w)
    nh, nw = min(sh, max(1, int(np.floor(h * s + 0.5)))), min(sw, max(1, int(np.floor(w * s + 0.5))))
    return nh, nw, (sh - nh) // 2, (sw - nw) // 2


def fit(image, size, how):
    if how == "stretch":
        return resample(image, size)
    nh, nw, top, left = letterbox_size(image.shape, size)
    out = np.zeros(size, np.float32)
    out[top:top + nh, left:left + nw] = resample(image, (nh, nw))
    return out


def prepare(display, recipe, box=None):
    """The tensor, rows x columns, that a model sees. `box` = (x0, y0, x1, y1) in relative units of the whole image."""
    x = reduce_longest(display, recipe.get("reduce"))
    if box is not None:
        x0, y0, x1, y1 = crop_pixels(box, x.shape)
        x = x[y0:y1, x0:x1]
    x = fit(contrast(x, recipe.get("contrast")), recipe["size"], recipe["fit"])
    return ((x - recipe["mean"]) / recipe["std"]).astype(np.float32)


def crop_pixels(box, shape):
    """Relative box -> whole pixels: low edges down, high edges up, clipped to the image."""
    h, w = shape
    x0, y0, x1, y1 = box
    snap = lambda v: round(v, 6)                   # 37.000000001 is 37
    return (max(0, int(np.floor(snap(x0 * w)))), max(0, int(np.floor(snap(y0 * h)))),
            min(w, int(np.ceil(snap(x1 * w)))), min(h, int(np.ceil(snap(y1 * h)))))


# ---- training ---------------------------------------------------------------------------------------------------

class Ema:
    """Exponential moving average of the trained parameters."""

    def __init__(self, net, decay):
        self.decay, self.steps = decay, 0
        self.mean = {k: p.detach().clone() for k, p in net.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self, net):
        self.steps += 1
        d = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for k, p in net.named_parameters():
            if k in self.mean:
                self.mean[k].lerp_(p.detach(), 1 - d)

    def into(self, net):
        net.load_state_dict(self.mean, strict=False)
        return net


def uniform(rng, lo, hi, n):
    return torch.from_numpy(rng.uniform(lo, hi, n).astype(np.float32))


def warp(batch, rng, out, centre, half, angle_deg, flip, stretch):
    """Sample boxes out of N x C x H x W: `centre`, `half` (N x 2, x then y, in -1..1 units), randomly turned and stretched."""
    n = len(batch)
    a = uniform(rng, -angle_deg, angle_deg, n) * np.pi / 180
    sx, sy = (torch.exp(uniform(rng, -stretch, stretch, n)) for _ in range(2))
    m = torch.where(torch.from_numpy(rng.random(n) < flip), -1.0, 1.0)
    hx, hy = half[:, 0] * sx, half[:, 1] * sy
    t = torch.stack([torch.stack([a.cos() * hx * m, -a.sin() * hy, centre[:, 0]], 1),
                     torch.stack([a.sin() * hx * m, a.cos() * hy, centre[:, 1]], 1)], 1)
    return F.grid_sample(batch, F.affine_grid(t, (n, 1, *out), align_corners=False), mode="bilinear", align_corners=False)


def detector(x, rng, strength=1.0):
    """Imitate other detectors: window, gamma, blur, noise, shading, markers, collimation. x: N x 1 x H x W, 0..1."""
    n, _, h, w = x.shape
    one = lambda v: v[:, None, None, None]
    for i in range(n):
        flat = x[i].flatten()[:: 3].sort().values
        q = lambda p: flat[int(p * (len(flat) - 1))]
        lo, hi = q(rng.uniform(0, 0.04 * strength)), q(1 - rng.uniform(0, 0.06 * strength))
        x[i] = (x[i] - lo) / (hi - lo).clamp(min=1e-3)
    x = x.clamp(0, 1) ** one(torch.exp(uniform(rng, -0.45 * strength, 0.45 * strength, n)))
    gy, gx = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    x = x + 0.08 * strength * (one(uniform(rng, -1, 1, n)) * gy + one(uniform(rng, -1, 1, n)) * gx)
    for i in range(n):
        if rng.random() < 0.3:
            k = rng.uniform(1.2, 2.2)
            small = F.interpolate(x[i:i + 1], size=(int(h / k), int(w / k)), mode="bilinear", antialias=True)
            x[i:i + 1] = F.interpolate(small, size=(h, w), mode="bilinear")
        if rng.random() < 0.3:
            x[i] += torch.from_numpy(rng.normal(0, rng.uniform(0, 0.05), (1, h, w)).astype(np.float32))
        if rng.random() < 0.25:
            bh, bw = int(rng.integers(2, h // 10)), int(rng.integers(2, w // 6))
            y0, x0 = int(rng.integers(0, h - bh)), int(rng.integers(0, w - bw))
            x[i, :, y0:y0 + bh, x0:x0 + bw] = float(rng.choice([0.0, 1.0]))
    return x.clamp(0, 1)


# ---- figures ----------------------------------------------------------------------------------------------------

def auroc(y, s):
    """Area under the ROC curve by ranks (ties count half)."""
    from scipy.stats import rankdata
    y = np.asarray(y, bool)
    p, n = y.sum(), (~y).sum()
    if p == 0 or n == 0:
        return float("nan")
    return float((rankdata(s)[y].sum() - p * (p + 1) / 2) / (p * n))


def average_precision(y, s):
    y = np.asarray(y, bool)[np.argsort(-np.asarray(s), kind="stable")]
    return float((np.cumsum(y)[y] / (np.flatnonzero(y) + 1)).mean()) if y.any() else float("nan")


def platt(logit, y):
    """(a, b) of 1 / (1 + exp(-(a * logit + b))) by maximum likelihood."""
    from sklearn.linear_model import LogisticRegression
    fit = LogisticRegression(C=1e6, max_iter=1000).fit(logit[:, None], y)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def ece(prob, y, bins=15):
    """Expected calibration error over bins of equal size."""
    order = np.argsort(prob, kind="stable")
    return round(float(sum(len(b) * abs(prob[b].mean() - y[b].mean()) for b in np.array_split(order, bins)) / len(y)), 4)


def bootstrap(groups, statistic, n=1000, seed=0):
    """`statistic(indices)` over resampled groups (patients): n x ... array of its values."""
    rng = np.random.default_rng(seed)
    names, inverse = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(inverse == i) for i in range(len(names))]
    return np.array([statistic(np.concatenate([members[i] for i in rng.integers(0, len(names), len(names))])) for _ in range(n)])


def interval(values):
    lo, hi = np.nanpercentile(values, [2.5, 97.5])
    return [round(float(lo), 3), round(float(hi), 3)]


def write_json(path, value):
    Path(path).write_text(json.dumps(value, indent=1) + "\n")
