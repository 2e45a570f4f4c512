"""Train `head-ct`: intracranial haemorrhage and its types on axial slices of head CT.

    python train.py --data DIR --work DIR --slices                 # once: slices and what lies inside the skull -> WORK/head.npz
    python train.py --data DIR --work DIR --part 0 --part 1 --part 2 --part final
    python report.py --data DIR --work DIR                         # metrics.json

Whole patients are dealt into folds. No neighbouring slices: of patients without a bleed only every second or third slice is in the set, so what
lies between two slices would tell the answer. No image of the set leaves DIR and WORK.
"""
import argparse
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import drawn
import network
from descent import Descent
import pipeline as p

LABELS = ["bleed", "ivh", "iph", "sah", "edh", "sdh"]
WIDE, NARROW = (40, 120), (50, 60)                    # level and width in HU of the channels; the images of the set show WIDE
SIZE, CELL = 208, 16                                  # pixels of the input, of a map's cell
RECIPE = {"size": [SIZE, SIZE], "fit": "letterbox", "mean": 0.3, "std": 0.3}
BRAIN = (0.35, 0.9)                                   # slice_frac inside which a slice is judged
READ, TOP = 13, 3                                     # slices of a series that are read, and how many of the highest count
FOLDS, SEED = 3, 9
SHARES = {"bleed": 0.34, "drawn": 0.22, "clear": 0.44}      # of each batch
SAMPLES, SIZES, BATCH = 608, [176] * 4 + [SIZE] * 4, 16     # of an epoch; pixels of each epoch
SHARPNESS, FIELD_LOSS, PLACE_LOSS = 3.0, 0.3, 0.3
LR, HEAD_LR, DECAY, FROZEN, DROP, SHRINK = 4e-4, 2e-3, 0.03, 5, 0.1, 0.05
OUTSIDE_BRAIN = 0.35                                  # how often a clear slice of neck or vertex is drawn, against one of the brain


def windows(wide):
    """... x rows x columns, 0..1 over WIDE -> ... x 2 x rows x columns: the channels."""
    low = [level - width / 2 for level, width in (WIDE, NARROW)]
    narrow = (wide * WIDE[1] + low[0] - low[1]) / NARROW[1]
    return torch.stack([wide, narrow.clamp(0, 1)], -3)


def normalised(wide):
    """N x rows x columns on the model's grid, 0..1 over WIDE -> what the network sees."""
    return ((windows(wide) - RECIPE["mean"]) / RECIPE["std"]).contiguous(memory_format=torch.channels_last)


def prepared(wide):
    """The whole recipe: slices of any size, 0..1 over WIDE, windowed and then brought to the grid -> N x 2 x SIZE x SIZE."""
    fitted = [[p.fit(c, RECIPE["size"], RECIPE["fit"]) for c in windows(torch.from_numpy(np.ascontiguousarray(w, np.float32))).numpy()] for w in wide]
    x = (torch.from_numpy(np.array(fitted)) - RECIPE["mean"]) / RECIPE["std"]
    return x.contiguous(memory_format=torch.channels_last)


def wide_of(hounsfield):
    return np.clip((hounsfield - (WIDE[0] - WIDE[1] / 2)) / WIDE[1], 0, 1)


def slices(data, out):
    table = p.rows(data, "ct-head-ich")
    image = np.stack(p.images(data, "ct-head-ich", [r["image"] for r in table]))
    z = {"image": image, "inside": np.stack([drawn.inside_skull(i / np.float32(255)) for i in image]),
         "label": np.array([[int(r[k]) for k in LABELS] for r in table]), "patient": np.array([r["group"] for r in table]),
         "slice": np.array([int(r["slice"]) for r in table]), "frac": np.array([float(r["slice_frac"]) for r in table]),
         "fracture": np.array([int(r["fracture"]) for r in table])}
    np.savez(out, **z)


def fold_of(z):
    """Fold of each slice: bleeding and other patients are dealt out apart."""
    sick = np.isin(z["patient"], z["patient"][z["label"][:, 0] == 1])
    fold = np.zeros(len(sick), int)
    for s in (True, False):
        fold[sick == s] = p.folds(z["patient"][sick == s], FOLDS, SEED)
    return fold


def in_brain(z):
    return (z["frac"] >= BRAIN[0]) & (z["frac"] <= BRAIN[1])


def pools_of(z, inside):
    """Slices of each kind to draw from, and how often. A bleeding patient counts by the root of his slices, not by their number."""
    sick, brain = z["label"][:, 0] == 1, (z["frac"] > 0.3) & (z["frac"] < 0.93)
    large = z["inside"].sum((1, 2)) > drawn.LARGE
    pools = {"bleed": np.flatnonzero(inside & sick), "clear": np.flatnonzero(inside & ~sick), "drawn": np.flatnonzero(inside & ~sick & large & brain)}
    _, back, count = np.unique(z["patient"][pools["bleed"]], return_inverse=True, return_counts=True)
    weight = {"bleed": count[back] ** -0.5, "clear": np.where(brain[pools["clear"]], 1.0, OUTSIDE_BRAIN), "drawn": np.ones(len(pools["drawn"]))}
    return {k: (v, weight[k] / weight[k].sum()) for k, v in pools.items()}


def sample(rng, z, pools):
    """One slice: image, inside, mask of a drawn bleed, labels, whether it was drawn."""
    kind = rng.choice(list(SHARES), p=list(SHARES.values()))
    i = rng.choice(pools[kind][0], p=pools[kind][1])
    image, inside, label = z["image"][i] / np.float32(255), z["inside"][i], z["label"][i].astype(np.float32)
    made = drawn.draw(rng, image, inside) if kind == "drawn" else None
    if made:
        label = np.array([1.0] + [float(k == made[2]) for k in LABELS[1:]], np.float32)
        return made[0], inside, made[1], label, True
    return image, inside, np.zeros_like(inside), label, kind == "drawn"


def scanner(x, rng):
    """Imitate other scanners: level, contrast, noise, sharpness. x: N x 1 x H x W over WIDE; air stays black and bone white."""
    n = len(x)
    one = lambda v: v[:, None, None, None]
    tissue = (x > 0.02) & (x < 0.98)
    moved = (x - 0.5) * one(torch.exp(p.uniform(rng, -0.1, 0.1, n))) + 0.5 + one(p.uniform(rng, -0.04, 0.04, n))
    grain = torch.from_numpy(rng.normal(0, 1, x.shape).astype(np.float32))
    grain = torch.where(one(torch.from_numpy(rng.random(n) < 0.5)), grain, 1.6 * F.avg_pool2d(grain, 3, 1, 1))
    moved = moved + grain * one(p.uniform(rng, -0.03, 0.04, n).clamp(min=0))
    x = torch.where(tissue, moved, x)
    soft = torch.from_numpy(rng.random(n) < 0.25)
    x[soft] = F.avg_pool2d(x[soft], 3, 1, 1)
    return x.clamp(0, 1)


def batches(rng, z, pools, size):
    """Batches without end: x, share of each cell inside the skull, share of each cell in a drawn bleed, labels, drawn."""
    while True:
        image, inside, mask, label, made = zip(*(sample(rng, z, pools) for _ in range(BATCH)))
        both = torch.from_numpy(np.stack([np.stack(v).astype(np.float32) for v in (image, inside, mask)], 1))
        half = torch.exp(p.uniform(rng, -0.18, 0.1, BATCH))[:, None].expand(BATCH, 2)
        both = p.warp(both, rng, [size, size], p.uniform(rng, -0.06, 0.06, (BATCH, 2)), half, 15.0, 0.5, 0.06)
        x = scanner(both[:, :1].clone(), rng)
        cells = F.avg_pool2d(both[:, 1:], CELL)
        yield normalised(x[:, 0]), cells[:, :1], cells[:, 1:], torch.from_numpy(np.stack(label)), torch.tensor(made)


def classifier():
    black = (0.0 - RECIPE["mean"]) / RECIPE["std"]
    net = network.SliceClassifier(2, [1] * len(LABELS), 1, SHARPNESS, black)
    return net.to(memory_format=torch.channels_last)


def start(z, pools, rng):
    net = network.from_imagenet(classifier())
    network.recalibrate(net, [b[0] for b in islice(batches(rng, z, pools, SIZE), 8)])
    y = np.stack([sample(rng, z, pools)[3] for _ in range(150)]).mean(0) * 0.95 + 0.02
    net.fc.weight.data.zero_()             # a random head pushes all features down until they die
    net.bias.data = torch.from_numpy(np.log(y / (1 - y))).float()
    return net


def place_loss(net, evidence, cells, label, made):
    """On drawn slices each cell is known: blood (a quarter of it or more) or none. Counted for the labels that the drawing has."""
    if not made.any():
        return evidence.sum() * 0
    each = evidence[made] + net.bias[:, None, None]
    blood, none = cells[made] >= 0.25, cells[made] == 0
    loss = F.binary_cross_entropy_with_logits(each, blood.float().expand_as(each), reduction="none")
    counts = (blood * 5.0 + none) * label[made][:, :, None, None]
    return (loss * counts).sum() / counts.sum().clamp(min=1)


def train(z, inside, seed):
    """One network over one rise and fall of the learning rates; what it leaves is the moving average of the weights."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pools = pools_of(z, inside)
    net = start(z, pools, rng).train()
    net.drop = DROP
    steps = SAMPLES // BATCH
    descent = Descent(net, FROZEN, (LR, HEAD_LR), DECAY, steps * len(SIZES), 0.99)
    began = time.time()
    for epoch, size in enumerate(SIZES):
        seen = []
        for x, field, cells, label, made in islice(batches(rng, z, pools, size), steps):
            evidence, weight, fields = net.evidence(x)
            found = F.binary_cross_entropy_with_logits(net.pooled(evidence, weight), label * 0.95 + 0.02, reduction="none")
            parts = (found.mean(1) + found[:, 0]).mean(), F.binary_cross_entropy_with_logits(fields, field), place_loss(net, evidence, cells, label, made)
            descent.step(parts[0] + FIELD_LOSS * parts[1] + PLACE_LOSS * parts[2])
            seen.append([v.item() for v in parts])
        print(f"epoch {epoch + 1}/{len(SIZES)} {size} px loss {np.mean(seen, 0).round(4)} {time.time() - began:.0f} s", flush=True)
    network.recalibrate(descent.averaged(), [b[0] for b in islice(batches(rng, z, pools, SIZE), 16)])
    return fit_strangeness(net.eval(), z, inside)


def evaluation(z, index):
    """What the recipe makes of these slices: N x 2 x SIZE x SIZE."""
    return prepared([z["image"][i] / np.float32(255) for i in index])


@torch.inference_mode()
def fit_strangeness(net, z, inside):
    summaries = [net.summary(torch.cat([x, x.flip(3)])) for x in evaluation(z, np.flatnonzero(inside)).split(16)]
    net.strange.fit(torch.cat(summaries), SHRINK)
    return net


@torch.inference_mode()
def answers(net, x):
    """(logits N x L, strangeness N) of a network that reads both ways round."""
    out = [net(b.to(memory_format=torch.channels_last)) for b in x.split(16)]
    return torch.cat([o[0] for o in out]).numpy(), torch.cat([o[2] for o in out]).numpy()


def saved(work, part):
    """The network that training left, as it answers: both ways round."""
    net = classifier()
    net.load_state_dict(torch.load(f"{work}/head-{part}.pth"))
    return network.Mirrored(net).eval()


def run(work, part):
    """Train one network; leaves head-PART.pth and its answers to the slices that it did not see (.npz)."""
    z = dict(np.load(f"{work}/head.npz"))
    fold = fold_of(z)
    out = FOLDS if part == "final" else int(part)
    net = train(z, fold != out, SEED + out)
    torch.save(net.state_dict(), f"{work}/head-{part}.pth")
    at = np.flatnonzero(fold == out)
    if not len(at):
        return
    logits, strange = answers(network.Mirrored(net), evaluation(z, at))
    np.savez(f"{work}/head-{part}.npz", at=at, logits=logits, strange=strange)
    brain = in_brain(z)[at]
    y = z["label"][at]
    print(f"part {part}: AUROC all {p.auroc(y[:, 0], logits[:, 0]):.3f}, in the brain " + " ".join(
        f"{l} {p.auroc(y[brain, j], logits[brain, j]):.3f}" for j, l in enumerate(LABELS)) + f", strangeness {np.median(strange):.2f}", flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--slices", action="store_true")
    ap.add_argument("--part", action="append", default=[], help="0, 1, ... (a fold held out), or final")
    a = ap.parse_args()
    torch.set_num_threads(1)
    if a.slices:
        slices(a.data, f"{a.work}/head.npz")
    for part in a.part:
        run(a.work, part)


if __name__ == "__main__":
    main()
