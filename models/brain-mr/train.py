"""Train `brain-mr`: the tumour on slices of contrast-enhanced T1 brain MRI, and its class.

    python train.py --data DIR --heads DIR --work DIR --slices            # once: all slices on one canvas -> WORK/slices.npz
    python train.py --data DIR --heads DIR --work DIR --part 0 --part 1 --part 2 --part final
    python report.py --data DIR --heads DIR --work DIR                    # metrics.json

`--data` holds the set mri-brain, `--heads` what healthy.py names. Whole groups are dealt into folds, class by class; a healthy head is held
out in one of them. Each network leaves its answers to what it did not see.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import healthy
import network
import pipeline as p

CLASSES = ["glioma", "meningioma", "pituitary"]
RECIPE = {"contrast": [0.005, 0.995], "size": [160, 160], "fit": "letterbox", "mean": 0.25, "std": 0.25}
RULE = {"threshold": 0.5, "part_ml_min": 2.0, "part_mm_min": 6.0, "level": 0.6}      # [mask] of model.toml; `level`: the label's threshold
CANVAS = 192                   # training slices are kept letterboxed at this size, after the contrast
FOLDS, SEED = 3, 9
SAMPLES, SIZES, BATCH = 688, [128] * 7 + [160] * 3, 16     # of an epoch; pixels of each epoch
SHARES = {"tumour": 0.62, "healthy": 0.20, "mirrored": 0.14, "doubled": 0.04}      # of each batch
LR, FROZEN, DROP, STRENGTH, SHRINK = 2e-3, 3, 0.3, 1.0, 0.05


def canvas(values):
    x = p.fit(p.contrast(values.astype(np.float32), RECIPE["contrast"]), [CANVAS, CANVAS], "letterbox")
    return np.rint(x * 255).astype(np.uint8)


def slices(data, heads, out):
    """All training slices as one table: image, mask, kind, class (-1 none), group, fold that holds it out."""
    z = {k: [] for k in ("image", "mask", "kind", "label", "group", "fold", "row")}

    def add(*values):
        for k, v in zip(z, values):
            z[k].append(v)
    table = p.rows(data, "mri-brain")
    label = np.array([CLASSES.index(r["label"]) for r in table])
    group, fold = np.array([r["group"] for r in table]), np.zeros(len(table), int)
    for c in range(len(CLASSES)):
        fold[label == c] = p.folds(group[label == c], FOLDS, SEED + c)
    images, masks = (p.images(data, "mri-brain", [r[k] for r in table], a) for k, a in (("image", "images.zip"), ("mask", "masks.zip")))
    for i, (image, mask) in enumerate(zip(images, masks)):
        x, m = canvas(image), np.rint(255 * p.fit((mask > 0).astype(np.float32), [CANVAS, CANVAS], "letterbox")).astype(np.uint8)
        add(x, m, "tumour", label[i], group[i], fold[i], i)
        made = healthy.mirrored(x, m)
        if made:
            add(made[0], np.zeros_like(m), "mirrored", -1, group[i], fold[i], i)
            add(made[1], made[2], "doubled", label[i], group[i], fold[i], i)
    for s in healthy.series(heads):
        for k, image in enumerate(s.slices):
            add(canvas(image), np.zeros((CANVAS, CANVAS), np.uint8), "healthy", -1, s.head, s.fold, k)
    np.savez(out, **{k: np.array(v) for k, v in z.items()})
    print({k: z["kind"].count(k) for k in SHARES})


def pools_of(z, inside):
    """Slices of each kind to draw from. A healthy head counts as one, however many slices it was cut into."""
    pools = {k: np.flatnonzero(inside & (z["kind"] == k)) for k in SHARES}
    weight = {k: np.ones(len(v)) for k, v in pools.items()}
    heads = z["group"][pools["healthy"]]
    weight["healthy"] = np.array([1 / (heads == h).sum() for h in heads])
    return {k: (v, weight[k] / weight[k].sum()) for k, v in pools.items()}


def batch(rng, z, pools, size):
    """One augmented batch: x, mask, class (-1: no tumour)."""
    kinds = rng.choice(list(SHARES), BATCH, p=list(SHARES.values()))
    at = np.array([rng.choice(pools[k][0], p=pools[k][1]) for k in kinds])
    both = torch.from_numpy(np.stack([z["image"][at], z["mask"][at]], 1).astype(np.float32) / 255)
    half = torch.exp(p.uniform(rng, -0.25, 0.2, BATCH))[:, None].expand(BATCH, 2)
    both = p.warp(both, rng, [size, size], p.uniform(rng, -0.12, 0.12, (BATCH, 2)), half, 20.0, 0.5, 0.1)
    x = p.detector(both[:, :1].clone(), rng, STRENGTH)
    label = torch.from_numpy(z["label"][at])
    label[both[:, 1].flatten(1).sum(1) < 10] = -1                    # pushed out of view
    return ((x - RECIPE["mean"]) / RECIPE["std"]).to(memory_format=torch.channels_last), both[:, 1:], label


def losses(mask, kind, truth, label, weight):
    """(of the mask: cross entropy and Dice; of the class: cross entropy where there is a tumour)."""
    each = F.binary_cross_entropy_with_logits(mask, truth, reduction="none").mean((1, 2, 3))
    s, sick = torch.sigmoid(mask).flatten(1), label >= 0
    t = truth.flatten(1)
    dice = 1 - (2 * (s * t).sum(1) + 1) / (s.sum(1) + t.sum(1) + 1)
    told = F.cross_entropy(kind[sick], label[sick], weight) if sick.any() else kind.sum() * 0
    return (10 * each + 0.5 * dice * sick).mean(), told


def train(z, inside, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pools = pools_of(z, inside)
    net = network.from_imagenet(network.TumourNet(len(CLASSES))).train()
    net.drop = DROP
    torch.nn.init.constant_(net.out.bias, -4.0)                      # about the share of a tumour in a slice
    params = network.freeze(net, FROZEN)
    network.normalise(net, True)
    count = np.bincount(z["label"][pools["tumour"][0]])
    weight = torch.from_numpy(np.sqrt(count.mean() / count)).float()
    opt = torch.optim.AdamW(params, LR, weight_decay=0.02)
    steps = SAMPLES // BATCH
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, LR, total_steps=steps * len(SIZES), pct_start=0.1)
    ema, began = p.Ema(net, 0.99), time.time()
    for epoch, size in enumerate(SIZES):
        seen = []
        for _ in range(steps):
            x, truth, label = batch(rng, z, pools, size)
            mask, kind, _ = net(x)
            of_mask, of_kind = losses(mask, kind, truth, label, weight)
            opt.zero_grad()
            (of_mask + 0.2 * of_kind).backward()
            torch.nn.utils.clip_grad_norm_(params, 5.0)
            opt.step()
            plan.step()
            ema.update(net)
            seen.append((of_mask.item(), of_kind.item()))
        print(f"epoch {epoch + 1}/{len(SIZES)} {size} px loss {np.mean(seen, 0).round(4)} {time.time() - began:.0f} s", flush=True)
    network.recalibrate(ema.into(net), [batch(rng, z, pools, RECIPE["size"][0])[0] for _ in range(20)])
    return fit_strangeness(net.eval(), z, inside)


@torch.inference_mode()
def fit_strangeness(net, z, inside):
    at = np.flatnonzero(inside & (z["kind"] == "tumour"))[::2]
    at = np.concatenate([at, np.flatnonzero(inside & (z["kind"] == "healthy") & (z["image"].mean((1, 2)) > 10))])
    grid = [p.resample(z["image"][i] / np.float32(255), RECIPE["size"]) for i in at]
    net.strange.fit(torch.cat([net.summary(x) for x in as_input(grid).split(32)]), SHRINK)
    return net


def as_input(images):
    """What stands on the model's grid, 0..1 -> N x 1 x rows x columns."""
    x = torch.from_numpy(np.stack(images).astype(np.float32))[:, None]
    return ((x - RECIPE["mean"]) / RECIPE["std"]).to(memory_format=torch.channels_last)


@torch.inference_mode()
def answers(net, images):
    """To modality values or stored 8-bit slices: (probability x 255 as uint8 N x rows x columns, class logits N x C, strangeness N)."""
    out = [[], [], []]
    for i in range(0, len(images), 32):
        x = torch.from_numpy(np.stack([p.prepare(v.astype(np.float32), RECIPE) for v in images[i:i + 32]]))[:, None]
        mask, kind, strange = net(x.to(memory_format=torch.channels_last))
        for o, v in zip(out, (torch.round(torch.sigmoid(mask[:, 0]) * 255).byte(), kind, strange)):
            o.append(v.numpy())
    return [np.concatenate(o) for o in out]


def saved(work, part):
    net = network.TumourNet(len(CLASSES))
    net.load_state_dict(torch.load(f"{work}/brain-{part}.pth"))
    return net.eval().to(memory_format=torch.channels_last)


def run(data, heads, work, part):
    """Train one network; leaves brain-PART.pth and its answers to the slices and heads that it did not see (.npz)."""
    z = dict(np.load(f"{work}/slices.npz"))
    out = FOLDS if part == "final" else int(part)
    net = train(z, z["fold"] != out, SEED + out)
    torch.save(net.state_dict(), f"{work}/brain-{part}.pth")
    rows = z["row"][(z["fold"] == out) & (z["kind"] == "tumour")]
    left = {}
    if len(rows):
        table = p.rows(data, "mri-brain")
        prob, kind, strange = answers(net, p.images(data, "mri-brain", [table[i]["image"] for i in rows]))
        left = {"rows": rows, "prob": prob, "kind": kind, "strange": strange}
        truth = [np.asarray(m) > 0 for m in p.images(data, "mri-brain", [table[i]["mask"] for i in rows], "masks.zip")]
        d = [2 * ((q := p.resample(b, t.shape) >= 127.5) & t).sum() / (q.sum() + t.sum()) for b, t in zip(prob, truth)]
        right = (kind.argmax(1) == [CLASSES.index(table[i]["label"]) for i in rows]).mean()
        print(f"part {part}: Dice {np.mean(d):.3f} median {np.median(d):.3f}, class right {right:.3f}", flush=True)
    for s in healthy.series(heads):
        if s.fold == out or part == "final":
            prob, _, strange = answers(net, s.slices)
            left[f"{s.name}/prob"], left[f"{s.name}/strange"] = prob, strange
            print(f"  {s.name}: highest {prob.max() / 255:.2f}, pixels over 0.5 {(prob > 127).mean():.5f}, strangeness {np.median(strange):.2f}", flush=True)
    np.savez(f"{work}/brain-{part}.npz", **left)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--heads", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--slices", action="store_true")
    ap.add_argument("--part", action="append", default=[], help="0, 1, ... (a fold held out), or final")
    a = ap.parse_args()
    torch.set_num_threads(1)
    if a.slices:
        slices(a.data, a.heads, f"{a.work}/slices.npz")
    for part in a.part:
        run(a.data, a.heads, a.work, part)


if __name__ == "__main__":
    main()
