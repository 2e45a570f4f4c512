"""Train and measure `chest-lungs`: lung segmentation of frontal chest radiographs.

    python train.py --data DIR --work DIR [--part final|0|1|2]     # train one network (all parts when left out)
    python report.py --data DIR --work DIR                         # metrics.json, after export.py

`--data` holds the sets cxr-lungmask, cxr-pneumonia and the negatives ct-head-ich, ct-lung, mri-brain.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import network
import pipeline as p

RECIPE = {"size": [160, 160], "fit": "letterbox", "contrast": [0.01, 0.99], "mean": 0.5, "std": 0.5}
CANVAS = 224                   # training images are kept letterboxed at this size
FOLDS, SEED = 3, 9
SAMPLES, EPOCHS, BATCH = 960, 7, 16
SHARES = {"child": 0.30, "adult": 0.25, "more": 0.25, "negative": 0.20}      # of each batch
LR, FROZEN = 1.5e-3, 1


def canvas(image):
    return p.fit(image.astype(np.float32) / 255, [CANVAS, CANVAS], "letterbox")


def load(data):
    """Chests (canvas, mask, kind, patient, stored image and mask) and negatives (canvas only)."""
    chests = []
    for name, column in (("cxr-lungmask", "mask"), ("cxr-pneumonia", "lung_mask")):
        table = p.rows(data, name)
        for r, im, mask in zip(table, p.images(data, name, [r["image"] for r in table]),
                               p.images(data, name, [r[column] for r in table], "masks.zip")):
            adult = r.get("source") == "covid-chestxray-dataset"
            kind = "more" if name == "cxr-pneumonia" else "adult" if adult else "child"
            patient = r["group"] if adult or kind == "more" else r["group"].removeprefix("K")
            mask = mask if mask.max() > 1 else mask * 255
            ignore = mask == 127
            chests.append({"canvas": canvas(im), "mask": canvas((mask == 255) * np.float32(255)), "known": canvas(~ignore * np.float32(255)),
                           "kind": kind, "patient": patient, "image": im, "truth": mask == 255, "ignore": ignore})
    negatives = []
    for name in ("ct-head-ich", "ct-lung", "mri-brain"):
        table = p.rows(data, name)[::4]                          # the other three quarters test the refusal
        negatives += [canvas(im) for im in p.images(data, name, [r["image"] for r in table])]
    return chests, negatives


def sample(rng, pools, chests, negatives, n):
    """One augmented batch: x, mask, known (1 where the mask counts)."""
    xs, kinds = [], rng.choice(list(SHARES), n, p=list(SHARES.values()))
    for kind in kinds:
        if kind == "negative" and rng.random() < 0.4:
            c = negatives[rng.integers(len(negatives))]
            xs.append((c, np.zeros_like(c), np.ones_like(c), 0))
            continue
        pool = pools[kind] if kind != "negative" else pools[rng.choice(["child", "adult", "more"])]
        c = chests[pool[rng.integers(len(pool))]]
        if kind != "negative":
            xs.append((c["canvas"], c["mask"], c["known"], 0))
            continue
        turn, inside = int(rng.integers(0, 4)), c["canvas"] > 0      # a chest turned, or (turn 0) inverted, is refused
        im = np.rot90(c["canvas"], turn) if turn else np.where(inside, 1 - c["canvas"], 0)
        xs.append((im, np.zeros_like(im), np.ones_like(im), 1))
    batch = torch.stack([torch.from_numpy(np.stack([np.ascontiguousarray(v, np.float32) for v in x[:3]])) for x in xs])
    half = torch.exp(p.uniform(rng, -0.30, 0.22, n))[:, None].expand(n, 2)
    w = p.warp(batch, rng, RECIPE["size"], p.uniform(rng, -0.12, 0.12, (n, 2)), half, 12.0, 0.5, 0.15)
    x = p.detector(w[:, :1].clone(), rng)
    return (x - RECIPE["mean"]) / RECIPE["std"], w[:, 1:2], (w[:, 2:] > 0.99).float()


def loss_of(logits, mask, known):
    bce = (F.binary_cross_entropy_with_logits(logits, mask, reduction="none") * known).mean()
    s = torch.sigmoid(logits) * known
    m = mask * known
    positive = m.flatten(1).sum(1) > 50
    dice = 1 - (2 * (s * m).flatten(1).sum(1) + 1) / (s.flatten(1).sum(1) + m.flatten(1).sum(1) + 1)
    return bce + 0.5 * (dice * positive).sum() / len(mask)


def train(chests, negatives, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pools = {k: [i for i, c in enumerate(chests) if c["kind"] == k] for k in ("child", "adult", "more")}
    net = network.from_imagenet(network.LungNet()).train()
    cl = torch.channels_last
    network.recalibrate(net, [sample(rng, pools, chests, negatives, 16)[0].to(memory_format=cl) for _ in range(8)])
    params = network.freeze(net, FROZEN)
    opt = torch.optim.AdamW(params, LR, weight_decay=0.01)
    steps = SAMPLES * EPOCHS // BATCH
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, LR, total_steps=steps, pct_start=0.1)
    ema, began, seen = p.Ema(net, 0.99), time.time(), 0.0
    for step in range(steps):
        x, mask, known = sample(rng, pools, chests, negatives, BATCH)
        loss = loss_of(net(x.to(memory_format=cl))[0], mask, known)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 5.0)
        opt.step()
        plan.step()
        ema.update(net)
        seen += loss.item()
        if (step + 1) % 30 == 0:
            print(f"step {step + 1}/{steps} loss {seen / 30:.4f} {time.time() - began:.0f} s", flush=True)
            seen = 0.0
    return ema.into(net).eval()


@torch.inference_mode()
def probability(net, display):
    """Lung probability on the grid of the recipe."""
    x = torch.from_numpy(p.prepare(display, RECIPE))[None, None]
    return torch.sigmoid(net(x.to(memory_format=torch.channels_last))[0])[0, 0].numpy()


def dice(net, c):
    """Dice on the stored image: the grid's probability resampled to its pixels, cut at 0.5."""
    grid = probability(net, c["image"].astype(np.float32) / 255)
    nh, nw, top, left = p.letterbox_size(c["image"].shape, RECIPE["size"])
    mask = p.resample(grid[top:top + nh, left:left + nw], c["image"].shape) >= 0.5
    a, b = mask & ~c["ignore"], c["truth"] & ~c["ignore"]
    return 2 * (a & b).sum() / max(a.sum() + b.sum(), 1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--part", action="append")
    a = ap.parse_args()
    torch.set_num_threads(1)
    chests, negatives = load(a.data)
    fold = p.folds([c["patient"] for c in chests], FOLDS, SEED)
    for part in a.part or ["final", "0", "1", "2"]:
        out = np.zeros(len(chests), bool) if part == "final" else fold == int(part)
        net = train([c for c, o in zip(chests, out) if not o], negatives, SEED + (0 if part == "final" else 1 + int(part)))
        torch.save(net.state_dict(), f"{a.work}/lungs-{part}.pth")
        scored = [c for c, o in zip(chests, out) if o and c["kind"] != "more"]
        values = {k: [dice(net, c) for c in scored if c["kind"] == k] for k in ("child", "adult")}
        for k, v in values.items():
            if v:
                print(part, k, len(v), f"Dice {np.mean(v):.4f} p5 {np.percentile(v, 5):.4f}", flush=True)
        p.write_json(f"{a.work}/lungs-{part}.json", {k: [round(float(d), 4) for d in v] for k, v in values.items()})


if __name__ == "__main__":
    main()
