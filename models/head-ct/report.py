"""metrics.json of `head-ct`: every figure of the card, from the parts that train.py left in WORK.

    python report.py --data DIR --work DIR --corpus DIR

All scores are out of fold: by the network that saw no slice of the patient. "In the brain": slice_frac 0.35 to 0.9, where position alone tells little.
`--corpus` holds the public DICOM files (others.py).
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import drawn
import features
import others
import pipeline as p
from train import CELL, FOLDS, LABELS, READ, SIZE, TOP, answers, fold_of, in_brain, prepared, saved, wide_of

DRAWS = 1000
README = {"histogram and position": 0.778, "frozen": 0.717}      # of the set, bleed, in the brain
PATIENTS_MIN = 10                      # patients that a type must have to be judged at all
DRAWN = 150                            # clear slices in the test of the maps


def baselines(z, fold):
    """{name: function of labels -> out-of-fold scores}, from what cannot see a lesion's place and texture together."""
    image = z["image"] / np.float32(255)
    position = np.stack([z["frac"], z["frac"] ** 2], 1)
    grey, small, deep = features.histogram(image), features.thumb16(image), features.components(features.frozen(image), 128)
    seen = {"position": position, "histogram": grey, "histogram and position": np.c_[grey, position], "thumb16": small, "frozen": deep}
    return lambda y, rows, names=tuple(seen): {k: features.out_of_fold(seen[k][rows], y[rows], fold[rows]) for k in names}


def compare(groups, y, score, rivals):
    """AUROC with interval, and against each rival the paired gain."""
    draws = p.bootstrap(groups, lambda i: [p.auroc(y[i], score[i])] + [p.auroc(y[i], r[i]) for r in rivals.values()], DRAWS)
    out = {"slices": len(y), "positives": int(y.sum()), "patients_positive": len(set(groups[y == 1])), "auroc": round(p.auroc(y, score), 4),
           "auroc_95": p.interval(draws[:, 0])}
    for k, (name, r) in enumerate(rivals.items()):
        out[name] = {"auroc": round(p.auroc(y, r), 4), "gain_95": p.interval(draws[:, 0] - draws[:, 1 + k])}
    return out


def passes(t, label):
    """The gate: the lower bound of the interval above every baseline, those of the set too, and of every paired gain above 0."""
    rivals = [v for v in t.values() if isinstance(v, dict)]
    beaten = all(v["gain_95"][0] > 0 and t["auroc_95"][0] > v["auroc"] for v in rivals)
    return beaten and (label != "bleed" or t["auroc_95"][0] > max(README.values()))


def read_slices(z):
    """For each patient READ slices spread evenly over what the set holds, as a service would read them: bleeding patients have more in the set,
    and the highest of more is higher."""
    out = {}
    for patient in np.unique(z["patient"]):
        rows = np.flatnonzero(z["patient"] == patient)
        wanted = np.linspace(z["slice"][rows].min(), z["slice"][rows].max(), READ)
        out[patient] = rows[np.unique(np.abs(z["slice"][rows][None] - wanted[:, None]).argmin(1))]
    return out


def highest(logits):
    """The series' number of each label: mean of the TOP highest slices."""
    return np.sort(logits, 0)[-TOP:].mean(0)


def patients(z, logits, fold, j):
    """Of one label: AUROC per patient with interval, calibration of the series' number, and what a threshold for 80 % of the positives costs."""
    read = read_slices(z)
    names = np.array(list(read))
    y = np.array([z["label"][z["patient"] == n, j].max() for n in names])
    s = np.array([highest(logits[read[n], j]) for n in names])
    folds = np.array([fold[z["patient"] == n][0] for n in names])
    every = np.array([highest(logits[z["patient"] == n, j]) for n in names])
    a, b = p.platt(s, y)
    crossed = np.zeros(len(y))
    for k in np.unique(folds):
        crossed[folds == k] = p.sigmoid(np.dot(p.platt(s[folds != k], y[folds != k]), [s[folds == k], np.ones((folds == k).sum())]))
    prob = p.sigmoid(a * s + b)
    t, low = (float(np.quantile(prob[y == 1], q)) for q in (0.2, 0.1))
    rate = lambda i: [(prob[i] >= t)[y[i] == 1].mean(), (prob[i] < t)[y[i] == 0].mean(), p.auroc(y[i], s[i])]
    draws = p.bootstrap(np.arange(len(y)), rate, DRAWS)
    value = rate(np.arange(len(y)))
    return {"patients": len(y), "positives": int(y.sum()), "auroc": round(value[2], 4), "auroc_95": p.interval(draws[:, 2]),
            "auroc_all_slices_of_the_set": round(p.auroc(y, every), 4), "calibration": {"a": round(a, 4), "b": round(b, 4)},
            "ece_cross_fitted": p.ece(crossed, y, 5), "threshold": round(t, 4), "indeterminate": [round(low, 4), round(t, 4)],
            "sensitivity": round(float(value[0]), 3), "sensitivity_95": p.interval(draws[:, 0]),
            "specificity": round(float(value[1]), 3), "specificity_95": p.interval(draws[:, 1])}


@torch.inference_mode()
def maps_of(net, wide):
    return torch.cat([net(b.contiguous(memory_format=torch.channels_last))[1] for b in prepared(wide).split(16)]).numpy()


def pointing(z, fold, work):
    """Do the maps point? A bleed is drawn into clear slices that the network did not see: is the highest cell of "bleed" on it (chance: its
    share of the cells inside the skull), and how far does the logit rise. On real bleeds: share of the positive evidence inside the skull."""
    rng = np.random.default_rng(0)
    clear = np.flatnonzero((z["label"][:, 0] == 0) & in_brain(z) & (z["inside"].sum((1, 2)) > drawn.LARGE))
    hits, chance, within = {k: [] for k in drawn.KINDS}, {k: [] for k in drawn.KINDS}, []
    cells = lambda m: p.resample(m.astype(np.float32), (SIZE // CELL, SIZE // CELL))
    for k in range(FOLDS):
        net = saved(work, str(k))
        made = [(i, drawn.draw(rng, z["image"][i] / np.float32(255), z["inside"][i])) for i in rng.permutation(clear[fold[clear] == k])[:DRAWN // FOLDS]]
        made = [(i, m) for i, m in made if m]
        for (i, (_, mask, kind)), amap in zip(made, maps_of(net, [m[0] for _, m in made])):
            blood, skull = cells(mask) > 0.02, cells(z["inside"][i]) > 0.25
            hits[kind].append(bool(blood.ravel()[amap[0].argmax()]))
            chance[kind].append((blood & skull).sum() / max(skull.sum(), 1))
        sick = np.flatnonzero((z["label"][:, 0] == 1) & in_brain(z) & (fold == k))
        for i, amap in zip(sick, maps_of(net, [z["image"][i] / np.float32(255) for i in sick])):
            shown = np.maximum(amap[0], 0)
            within.append((shown * (cells(z["inside"][i]) > 0.02)).sum() / max(shown.sum(), 1e-6))
    every = [h for v in hits.values() for h in v]
    return {"drawn": {"slices": len(every), "highest_cell_on_it": round(float(np.mean(every)), 3), "chance": round(float(np.mean([c for v in chance.values() for c in v])), 3),
                      "by_kind": {k: {"slices": len(v), "highest_cell_on_it": round(float(np.mean(v)), 3)} for k, v in hits.items() if v}},
            "real_bleeds": {"slices": len(within), "evidence_inside_the_skull": round(float(np.mean(within)), 3)}}


def strangeness(z, strange, work, corpus):
    seen = {k: prepared([wide_of(v) for v in vs]) for k, vs in others.slices(corpus, others.CT).items()}
    nets = [saved(work, str(k)) for k in range(FOLDS)]
    found = {k: np.concatenate([answers(net, x)[1] for net in nets]) for k, x in seen.items()}
    return {"slices_out_of_fold": {"median": round(float(np.median(strange)), 2), "p99": round(float(np.percentile(strange, 99)), 2), "highest": round(float(strange.max()), 2)},
            "others": others.figures(strange, found)}


def main():
    ap = argparse.ArgumentParser()
    for name in ("data", "work", "corpus"):
        ap.add_argument(f"--{name}", required=True)
    a = ap.parse_args()
    torch.set_num_threads(1)
    z = dict(np.load(f"{a.work}/head.npz"))
    fold, brain = fold_of(z), in_brain(z)
    logits, strange = np.zeros(z["label"].shape), np.zeros(len(fold))
    for k in range(FOLDS):
        part = np.load(f"{a.work}/head-{k}.npz")
        logits[part["at"]], strange[part["at"]] = part["logits"], part["strange"]
    rivals, labels = baselines(z, fold), {}
    sick = np.isin(z["patient"], z["patient"][z["label"][:, 0] == 1])
    for j, label in enumerate(LABELS):
        y = z["label"][:, j]

        def judged(rows, *names):
            return compare(z["patient"][rows], y[rows], logits[rows, j], rivals(y, rows, *names))
        in_all, inside = judged(np.arange(len(y)), ("position", "histogram and position")), judged(np.flatnonzero(brain))
        judgeable = inside["patients_positive"] >= PATIENTS_MIN
        status = "not shipped" if not judgeable else "finding" if passes(inside, label) else "experimental"
        labels[label] = {"status": status, "in_brain": inside, "all_slices": in_all, **({"patient": patients(z, logits, fold, j)} if judgeable else {})}
        if label == "bleed":
            labels[label]["in_brain_of_bleeding_patients"] = judged(np.flatnonzero(brain & sick))
        print(label, labels[label], flush=True)
    out = {"slices": len(fold), "patients": len(set(z["patient"])), "in_brain": int(brain.sum()), "folds": FOLDS, "bootstrap_draws": DRAWS, "readme": README,
           "slices_read_of_a_patient": READ, "labels": labels, "maps": pointing(z, fold, a.work), "strangeness": strangeness(z, strange, a.work, a.corpus)}
    print(out["maps"], out["strangeness"])
    p.write_json(HERE / "metrics.json", out)


if __name__ == "__main__":
    main()
