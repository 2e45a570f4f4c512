"""Train `chest-radiograph`: findings on adult frontal chest radiographs, at the lung crop of 128 px films.

    python train.py --data DIR --work DIR --films                  # once: films and lung boxes -> DIR/films.npz
    python train.py --data DIR --work DIR --part 0 --part 1 --part 2 --part final    # one network a fold, and the one that ships
    python report.py --data DIR --work DIR                         # metrics.json

Patients are dealt into a validation split, which no training ever sees, and FOLDS folds. Both origins (`labels.csv` at
288 px, brought to 128, and `more.csv`) train; only `more` is scored.
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
import lungs
import network
import pipeline as p

LABELS = ["abnormal", "pleural_effusion", "atelectasis", "pneumothorax", "cardiomegaly", "mass", "nodule", "consolidation",
          "infiltration", "edema", "emphysema", "fibrosis", "pleural_thickening"]
COLUMNS = {"abnormal": "any_finding", "pleural_effusion": "effusion"}
SIZE = 160
RECIPE = {"reduce": 128, "contrast": [0.01, 0.99], "size": [SIZE, SIZE], "fit": "letterbox", "mean": 0.5, "std": 0.5}
FOLDS, SEED, VALIDATION_SHARE = 3, 9, 9               # one patient in nine is validation
# Cycles of one-cycle learning rates: pixels of each epoch (most of the learning at the cheaper size), share of the rates below.
CYCLES = [([128, 128, SIZE], 1.0), ([SIZE, SIZE], 0.5)]
BATCH, LR, HEAD_LR, DECAY, FROZEN, DROP, STRENGTH = 16, 4e-4, 2e-3, 0.03, 5, 0.1, 0.5


def films(data, out):
    """Both tables as one array of 128 px films (0..1), labels, lung boxes, patients, origin."""
    kept = {k: [] for k in ("film", "label", "box", "refusal", "patient", "more", "name", "sex", "age", "view", "boxes")}
    net = lungs.load(HERE.parent / "chest-lungs")
    for table, archive in (("more.csv", "more.zip"), ("labels.csv", "images.zip")):
        rows = p.rows(data, "cxr-adult-nih", table)
        for r, im in zip(rows, p.images(data, "cxr-adult-nih", [r["image"] for r in rows], archive)):
            display = im.astype(np.float32) / 255
            found = lungs.look(net, display)
            kept["film"].append(p.reduce_longest(display, RECIPE["reduce"]))
            kept["label"].append([int(r[COLUMNS.get(l, l)]) for l in LABELS])
            kept["box"].append(found.crop)
            kept["refusal"].append(found.refusal or "")
            for k, v in (("patient", r["group"]), ("more", table == "more.csv"), ("name", r["image"]), ("boxes", r["boxes"]),
                         ("sex", r["sex"]), ("age", int(r["age"] or -1)), ("view", r["view"])):
                kept[k].append(v)
    np.savez(out, **{k: np.array(v) for k, v in kept.items()})


def split(patients):
    """Fold of each film, -1 = validation."""
    tenth = p.folds(patients, VALIDATION_SHARE, SEED)
    fold = p.folds(patients, FOLDS, SEED + 1)
    return np.where(tenth == 0, -1, fold)


def weights_of(z):
    """Weight of each (film, label) in the loss. The normals of `labels.csv` are a special choice (they look unlike other
    normals), so they count little, and "abnormal" is learnt from `more` alone."""
    w = np.ones(z["label"].shape, np.float32)
    w[~z["more"] & (z["label"][:, 0] == 0)] = 0.3
    w[~z["more"], 0] = 0.0
    return w


def evaluation(z, index):
    """What the service's recipe gives for these films: N x 1 x SIZE x SIZE."""
    return torch.from_numpy(np.stack([p.prepare(z["film"][i], RECIPE, z["box"][i]) for i in index]))[:, None]


@torch.inference_mode()
def logits(net, x):
    net.eval()
    return torch.cat([net(b.to(memory_format=torch.channels_last))[0] for b in x.split(32)]).numpy()


def masks(box):
    """1 inside each relative box, on the film's grid: what lies outside the crop is the letterbox's black."""
    n = np.arange(RECIPE["reduce"], dtype=np.float32) / RECIPE["reduce"]
    x, y = [torch.from_numpy((n[None] >= box[:, i, None]) & (n[None] < box[:, i + 2, None])).float() for i in (0, 1)]
    return y[:, None, :, None] * x[:, None, None, :]


def batches(rng, z, index, size):
    """Augmented batches of one epoch."""
    order = rng.permutation(index)
    for i in range(0, len(order) - BATCH + 1, BATCH):
        at = order[i:i + BATCH]
        box = torch.from_numpy(z["box"][at].astype(np.float32)) * 2 - 1
        half = (box[:, 2:] - box[:, :2]) / 2 * torch.exp(p.uniform(rng, -0.15, 0.15, BATCH))[:, None]
        centre = (box[:, 2:] + box[:, :2]) / 2 + p.uniform(rng, -0.08, 0.08, (BATCH, 2)) * half
        film = torch.cat([torch.from_numpy(z["film"][at])[:, None], masks(z["box"][at])], 1)
        x = p.warp(film, rng, [size, size], centre, half.amax(1, keepdim=True).expand(-1, 2), 10.0, 0.5, 0.08)
        x = p.detector(x[:, :1].clone(), rng, STRENGTH) * (x[:, 1:] > 0.5)
        yield (x - RECIPE["mean"]) / RECIPE["std"], at


def start(z, index, rng):
    """ImageNet weights, batch norm set on these films, a head of zeros whose bias says the share of each label."""
    net = network.from_imagenet(network.Classifier(len(LABELS)))
    network.recalibrate(net, [x.to(memory_format=torch.channels_last) for x, _ in islice(batches(rng, z, index, SIZE), 20)])
    share, positive = shares(z, index)
    target = 0.95 * share + 0.02
    net.fc.weight.data.zero_()             # a random head pushes all features down until they die
    net.fc.bias.data = torch.from_numpy(np.log(positive * target / (1 - target))).float()
    return net


def shares(z, index):
    """(share of each label among these films, weight of its positives in the loss)."""
    w = weights_of(z)[index]
    share = (z["label"][index] * w).sum(0) / w.sum(0)
    return share, np.clip(np.sqrt((1 - share) / share), 1, 5)


def train(z, index, seed, done=0, net=None):
    """One network on the films of `index`, from ImageNet weights; `done`: cycles that `net` has behind it."""
    for number, (sizes, share) in list(enumerate(CYCLES))[done:]:
        rng = np.random.default_rng(seed + 100 * number)
        torch.manual_seed(seed + 100 * number)
        net = cycle(net or start(z, index, rng), z, index, rng, sizes, [LR * share, HEAD_LR * share])
    return net


def cycle(net, z, index, rng, sizes, rates):
    """One rise and fall of the learning rates; what it leaves is the moving average of the weights."""
    net.train()
    net.drop = DROP
    y_all, w_all = torch.from_numpy(z["label"].astype(np.float32)), torch.from_numpy(weights_of(z))
    positive = torch.from_numpy(shares(z, index)[1]).float()
    params = network.freeze(net, FROZEN)
    network.normalise(net, True)
    head = [net.fc.weight, net.fc.bias]
    body = [q for q in params if all(q is not h for h in head)]
    opt = torch.optim.AdamW([{"params": body, "lr": rates[0]}, {"params": head, "lr": rates[1]}], weight_decay=DECAY)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, rates, total_steps=len(sizes) * (len(index) // BATCH), pct_start=0.1)
    ema, began = p.Ema(net, 0.996), time.time()
    for epoch, size in enumerate(sizes):
        seen = []
        for x, at in batches(rng, z, index, size):
            y, w = y_all[at] * 0.95 + 0.02, w_all[at]                     # labels were mined from reports: smoothed
            out = net(x.to(memory_format=torch.channels_last))[0]
            each = F.binary_cross_entropy_with_logits(out, y, pos_weight=positive, reduction="none")
            loss = (each * w).sum() / w.sum()
            opt.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 2.0)
            opt.step()
            plan.step()
            ema.update(net)
            seen.append(loss.item())
        with torch.no_grad():
            alive = (net.features(x.to(memory_format=torch.channels_last)) > 0).float().mean()
        print(f"epoch {epoch + 1}/{len(sizes)} {size} px loss {np.mean(seen):.4f} alive {alive:.3f} {time.time() - began:.0f} s", flush=True)
    network.recalibrate(ema.into(net), [x.to(memory_format=torch.channels_last) for x, _ in islice(batches(rng, z, index, SIZE), 30)])
    return net.eval()


def show(z, at, out):
    y = z["label"][at]
    none = y[:, 0] == 0
    print("  vs none: " + " ".join(f"{l[:8]} {p.auroc(y[:, j][none | (y[:, j] == 1)], out[:, j][none | (y[:, j] == 1)]):.3f}"
                                   for j, l in enumerate(LABELS)), flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--films", action="store_true")
    ap.add_argument("--part", action="append", default=[], help="0, 1, ... (a fold held out), or final")
    ap.add_argument("--done", type=int, default=0, help="go on from radiograph-PART.pth, which has this many cycles behind it")
    a = ap.parse_args()
    torch.set_num_threads(1)
    if a.films:
        films(a.data, f"{a.work}/films.npz")
    for part in a.part:
        run(a.work, part, a.done)


def saved(work, part):
    net = network.Classifier(len(LABELS)).to(memory_format=torch.channels_last)
    net.load_state_dict(torch.load(f"{work}/radiograph-{part}.pth"))
    return net


def run(work, part, done):
    """Train one network; leaves radiograph-PART.pth and the logits of the `more` films that it did not see (.npz)."""
    z = dict(np.load(f"{work}/films.npz"))
    fold = split(z["patient"])
    out = -1 if part == "final" else int(part)
    net = train(z, np.flatnonzero((fold >= 0) & (fold != out)), SEED + out, done, saved(work, part) if done else None)
    at = np.flatnonzero((fold == out) & z["more"])
    answers = logits(net, evaluation(z, at))
    torch.save(net.state_dict(), f"{work}/radiograph-{part}.pth")
    np.savez(f"{work}/radiograph-{part}.npz", at=at, logits=answers)
    show(z, at, answers)


if __name__ == "__main__":
    main()
