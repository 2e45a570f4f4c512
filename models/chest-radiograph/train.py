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
from scipy.ndimage import distance_transform_edt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import lungs
import network
from descent import Descent
import pipeline as p

LABELS = ["abnormal", "pleural_effusion", "atelectasis", "pneumothorax", "cardiomegaly", "mass", "nodule", "consolidation",
          "infiltration", "edema", "emphysema", "fibrosis", "pleural_thickening"]
COLUMNS = {"abnormal": "any_finding", "pleural_effusion": "effusion"}
# Where a label is looked for: 0 all of the film, 1 the lungs, 2 the lungs and what is beside or under them, since fluid and a thick pleura
# hide them. In shares of the film's longest side: how far beyond their mask that goes.
FIELD_OF = {"abnormal": 0, "cardiomegaly": 0, "pleural_effusion": 2, "pleural_thickening": 2}         # all others: 1
FIELDS, NEAR, BESIDE = 2, 0.015, 0.06
SIZE, CELL = 160, 16                                  # pixels of the input, of a map's cell
RECIPE = {"reduce": 128, "contrast": [0.01, 0.99], "size": [SIZE, SIZE], "fit": "letterbox", "mean": 0.5, "std": 0.5}
FOLDS, SEED, VALIDATION_SHARE = 3, 9, 9               # one patient in nine is validation
EPOCHS = [128, 128, 128, 128, SIZE, SIZE, SIZE, SIZE]       # pixels of each: most of the learning at the cheaper size
SHARPNESS = 3.0                                       # of the soft maximum that makes a logit of a map
FIELD_LOSS = 0.3                                      # weight of the fields in the loss
BATCH, LR, HEAD_LR, DECAY, FROZEN, DROP, STRENGTH = 16, 4e-4, 2e-3, 0.03, 5, 0.1, 0.5


def films(data, out):
    """Both tables as one array of 128 px films (0..1), labels, lung boxes, patients, origin."""
    kept = {k: [] for k in ("film", "fields", "label", "box", "refusal", "patient", "more", "name", "sex", "age", "view", "boxes")}
    net = lungs.load(HERE.parent / "chest-lungs")
    for table, archive in (("more.csv", "more.zip"), ("labels.csv", "images.zip")):
        rows = p.rows(data, "cxr-adult-nih", table)
        for r, im in zip(rows, p.images(data, "cxr-adult-nih", [r["image"] for r in rows], archive)):
            display = im.astype(np.float32) / 255
            found = lungs.look(net, display)
            kept["film"].append(p.reduce_longest(display, RECIPE["reduce"]))
            kept["fields"].append(fields(found, kept["film"][-1].shape))
            kept["label"].append([int(r[COLUMNS.get(l, l)]) for l in LABELS])
            kept["box"].append(found.crop)
            kept["refusal"].append(found.refusal or "")
            for k, v in (("patient", r["group"]), ("more", table == "more.csv"), ("name", r["image"]), ("boxes", r["boxes"]),
                         ("sex", r["sex"]), ("age", int(r["age"] or -1)), ("view", r["view"])):
                kept[k].append(v)
    np.savez(out, **{k: np.array(v) for k, v in kept.items()})


def fields(found, shape):
    """The fields of a film on its own grid, FIELDS x rows x columns; everywhere on a refused film. The second leaves out what lies
    between the lungs."""
    if found.refusal:
        return np.ones((FIELDS, *shape), bool)
    lung = p.resample(found.probability, shape) >= 0.5
    far = distance_transform_edt(~lung) / max(shape)
    between = np.logical_or.accumulate(lung, 1) & np.logical_or.accumulate(lung[:, ::-1], 1)[:, ::-1]
    return np.stack([far <= NEAR, (far <= BESIDE) & ((far <= NEAR) | ~between)])


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
    """Augmented batches of one epoch: films, share of each cell in each field, which films."""
    order = rng.permutation(index)
    for i in range(0, len(order) - BATCH + 1, BATCH):
        at = order[i:i + BATCH]
        box = torch.from_numpy(z["box"][at].astype(np.float32)) * 2 - 1
        half = (box[:, 2:] - box[:, :2]) / 2 * torch.exp(p.uniform(rng, -0.15, 0.15, BATCH))[:, None]
        centre = (box[:, 2:] + box[:, :2]) / 2 + p.uniform(rng, -0.08, 0.08, (BATCH, 2)) * half
        film = torch.cat([torch.from_numpy(z["film"][at])[:, None], masks(z["box"][at]), torch.from_numpy(z["fields"][at]).float()], 1)
        x = p.warp(film, rng, [size, size], centre, half.amax(1, keepdim=True).expand(-1, 2), 10.0, 0.5, 0.08)
        inside = x[:, 1:2] > 0.5
        field = F.avg_pool2d(x[:, 2:] * inside, CELL)
        x = p.detector(x[:, :1].clone(), rng, STRENGTH) * inside
        yield ((x - RECIPE["mean"]) / RECIPE["std"]).to(memory_format=torch.channels_last), field, at


def classifier():
    black = (0.0 - RECIPE["mean"]) / RECIPE["std"]
    return network.Classifier([FIELD_OF.get(label, 1) for label in LABELS], FIELDS, SHARPNESS, black).to(memory_format=torch.channels_last)


def start(z, index, rng):
    """ImageNet weights, batch norm set on these films, a head of zeros whose bias says the share of each label."""
    net = network.from_imagenet(classifier())
    network.recalibrate(net, [x for x, *_ in islice(batches(rng, z, index, SIZE), 20)])
    share, positive = shares(z, index)
    target = 0.95 * share + 0.02
    net.fc.weight.data.zero_()             # a random head pushes all features down until they die
    net.bias.data = torch.from_numpy(np.log(positive * target / (1 - target))).float()
    return net


def shares(z, index):
    """(share of each label among these films, weight of its positives in the loss)."""
    w = weights_of(z)[index]
    share = (z["label"][index] * w).sum(0) / w.sum(0)
    return share, np.clip(np.sqrt((1 - share) / share), 1, 5)


def train(z, index, seed):
    """One network on the films of `index`, from ImageNet weights, over one rise and fall of the learning rates; what it leaves is the
    moving average of the weights."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = start(z, index, rng)
    net.train()
    net.drop = DROP
    y_all, w_all = torch.from_numpy(z["label"].astype(np.float32)), torch.from_numpy(weights_of(z))
    positive = torch.from_numpy(shares(z, index)[1]).float()
    descent = Descent(net, FROZEN, (LR, HEAD_LR), DECAY, len(EPOCHS) * (len(index) // BATCH), 0.996)
    began = time.time()
    for epoch, size in enumerate(EPOCHS):
        seen = []
        for x, field, at in batches(rng, z, index, size):
            y, w = y_all[at] * 0.95 + 0.02, w_all[at]                     # labels were mined from reports: smoothed
            evidence, weight, fields_seen = net.evidence(x)
            each = F.binary_cross_entropy_with_logits(net.pooled(evidence, weight), y, pos_weight=positive, reduction="none")
            found = (each * w).sum() / w.sum()
            loss = found + FIELD_LOSS * F.binary_cross_entropy_with_logits(fields_seen, field)
            descent.step(loss)
            seen.append((found.item(), loss.item() - found.item()))
        with torch.no_grad():
            alive = (net.features(x) > 0).float().mean()
        print(f"epoch {epoch + 1}/{len(EPOCHS)} {size} px loss {np.mean(seen, 0).round(4)} alive {alive:.3f} {time.time() - began:.0f} s", flush=True)
    network.recalibrate(descent.averaged(), [x for x, *_ in islice(batches(rng, z, index, SIZE), 30)])
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
    a = ap.parse_args()
    torch.set_num_threads(1)
    if a.films:
        films(a.data, f"{a.work}/films.npz")
    for part in a.part:
        run(a.work, part)


def saved(work, part, labels=None):
    """The network that training left, as it answers: both ways round. With the `labels` of metrics.json its maps show what speaks for more than the lower edge of the
    indeterminate band, so that a film which is not negative has a map."""
    net = classifier()
    net.load_state_dict(torch.load(f"{work}/radiograph-{part}.pth"))
    if labels:
        edge = np.array([labels[l]["operating_point"]["indeterminate"][0] for l in LABELS])
        a, b = (np.array([labels[l]["calibration"][k] for l in LABELS]) for k in "ab")
        net.shown_from((np.log(edge / (1 - edge)) - b) / a)
    return network.Mirrored(net).eval()


def run(work, part):
    """Train one network; leaves radiograph-PART.pth and the logits of the `more` films that it did not see (.npz)."""
    z = dict(np.load(f"{work}/films.npz"))
    fold = split(z["patient"])
    out = -1 if part == "final" else int(part)
    net = train(z, np.flatnonzero((fold >= 0) & (fold != out)), SEED + out)
    at = np.flatnonzero((fold == out) & z["more"])
    answers = logits(network.Mirrored(net), evaluation(z, at))
    torch.save(net.state_dict(), f"{work}/radiograph-{part}.pth")
    np.savez(f"{work}/radiograph-{part}.npz", at=at, logits=answers)
    show(z, at, answers)


if __name__ == "__main__":
    main()
