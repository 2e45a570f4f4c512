"""metrics.json of `chest-radiograph`: every figure of the card, from the parts that train.py left in DIR.

    python report.py --data DIR --work DIR

All scores are of `more` films. "Out of fold": by the network that saw no film of the patient. "Validation": patients that no
training saw, scored by the network that ships.
"""
import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import baselines
import heatmaps
import pipeline as p
from train import CELL, EPOCHS, FOLDS, LABELS, SIZE, split

DRAWS = 1000


def audit(films, patients, limit=0.9):
    """Pairs of films of two patients whose high-passed 64 x 64 copies correlate at `limit` or more, and the largest correlation."""
    from scipy.ndimage import gaussian_filter
    small = np.stack([p.resample(f, (64, 64)) for f in films])
    high = np.stack([s - gaussian_filter(s, 3) for s in small]).reshape(len(films), -1)
    high -= high.mean(1, keepdims=True)
    high /= np.linalg.norm(high, axis=1, keepdims=True) + 1e-9
    pairs, top = 0, 0.0
    for i in range(0, len(high), 500):
        c = high[i:i + 500] @ high.T
        c[patients[i:i + 500, None] == patients[None]] = 0
        pairs, top = pairs + int((c >= limit).sum()), max(top, float(c.max()))
    return {"pairs_across_patients_at_0.9": pairs // 2, "largest": round(top, 3)}


def kept_audit(z, work):
    """`audit` of all films, kept in DIR: it depends on nothing trained."""
    path = Path(work) / "duplicates.json"
    if not path.exists():
        p.write_json(path, audit(z["film"], z["patient"]))
    return json.loads(path.read_text())


def compare(groups, y, score, rivals):
    """AUROC and AP with intervals, and the paired difference to each rival with its interval."""
    draws = p.bootstrap(groups, lambda i: [p.auroc(y[i], score[i]), p.average_precision(y[i], score[i])]
                        + [p.auroc(y[i], r[i]) for r in rivals.values()], DRAWS)
    out = {"positives": int(y.sum()), "films": len(y), "patients_positive": len(set(groups[y == 1])), "auroc": round(p.auroc(y, score), 4),
           "auroc_95": p.interval(draws[:, 0]), "ap": round(p.average_precision(y, score), 3), "ap_95": p.interval(draws[:, 1])}
    for k, (name, r) in enumerate(rivals.items()):
        out[name] = {"auroc": round(p.auroc(y, r), 3), "auroc_95": p.interval(draws[:, 2 + k]),
                     "gain": round(out["auroc"] - p.auroc(y, r), 3), "gain_95": p.interval(draws[:, 0] - draws[:, 2 + k])}
    return out


def best(task, scored, y, j, at):
    """The strongest of a baseline's regressions for this task and label, as scores of the films `at`."""
    options = [s[at, j] for k, s in scored.items() if k.split("@")[0] in ("all", task) and np.isfinite(s[at, j]).all()]
    return max(options, key=lambda s: p.auroc(y[at, j], s))


def tasks(z, j, at, none, score, scored):
    y, out = z["label"], {}
    for task, rows in (("vs_none", at[none[at] | (y[at, j] == 1)]), ("among_abnormal", at[~none[at]])):
        if y[rows, j].min() != y[rows, j].max():
            rivals = {n: best(task, s, y, j, rows) for n, s in scored.items()}
            out[task] = compare(z["patient"][rows], y[rows, j], score[rows, j], rivals)
    return out


def passes(t):
    """The gate: 0.80 against the normals, and both baselines beaten by more than the interval in every task of the label."""
    gains = [t[k][b]["gain_95"][0] > 0 for k in t for b in ("thumb16", "frozen")]
    return t["vs_none"]["auroc"] >= 0.80 and all(gains)


def operating(prob, y, none, groups):
    """Threshold with sensitivity 0.80 out of fold, band down to the one with 0.90, and what they cost."""
    at = lambda q: float(np.quantile(prob[y == 1], 1 - q))
    t, low = at(0.80), at(0.90)
    rate = lambda i: [(prob[i] >= t)[y[i] == 1].mean(), (prob[i] < t)[y[i] == 0].mean(), (prob[i] < t)[none[i]].mean()]
    draws = p.bootstrap(groups, rate, DRAWS)
    value = rate(np.arange(len(y)))
    names = ("sensitivity", "specificity", "specificity_normals")
    return {"threshold": round(t, 4), "indeterminate": [round(low, 4), round(t, 4)],
            "in_band": round(float(((prob >= low) & (prob < t)).mean()), 3),
            **{n: round(float(v), 3) for n, v in zip(names, value)}, **{n + "_95": p.interval(draws[:, k]) for k, n in enumerate(names)}}


def subgroups(z, j, at, none, score):
    y, out = z["label"][:, j], {}
    age = z["age"]
    cuts = {"female": z["sex"] == "F", "male": z["sex"] == "M", "age under 18": (age >= 0) & (age < 18), "age 18 to 39": (age >= 18) & (age < 40),
            "age 40 to 59": (age >= 40) & (age < 60), "age 60 and over": age >= 60, "PA": z["view"] == "PA", "AP": z["view"] == "AP"}
    for name, mask in cuts.items():
        rows = at[mask[at] & (none[at] | (y[at] == 1))]
        if y[rows].sum() >= 10 and (y[rows] == 0).sum() >= 10:
            draws = p.bootstrap(z["patient"][rows], lambda i: p.auroc(y[rows][i], score[rows, j][i]), DRAWS)
            out[name] = {"positives": int(y[rows].sum()), "normals": int((y[rows] == 0).sum()), "auroc": round(p.auroc(y[rows], score[rows, j]), 3),
                         "auroc_95": p.interval(draws)}
    return out


def rivals(z, work):
    """Out-of-fold scores of both baselines, {baseline: {regression: N x L}}; kept in DIR, they are the slow part."""
    path = Path(work) / "baselines.npz"
    if not path.exists():
        y = z["label"]
        made = baselines.both(z["film"], y, y[:, 0] == 0, split(z["patient"]))
        np.savez(path, **{f"{b}/{t}": v for b, scored in made.items() for t, v in scored.items()})
    kept = np.load(path)
    return {b: {k.split("/")[1]: kept[k] for k in kept.files if k.startswith(b + "/")} for b in ("thumb16", "frozen")}


def out_of_fold(z, j, dev, none, score, scored, fold):
    """Everything about one label that needs the fold networks only."""
    y = z["label"][:, j]
    t = tasks(z, j, dev, none, score, scored)
    a, b = p.platt(score[dev, j], y[dev])
    crossed = np.zeros(len(y))
    for k in sorted(set(fold[dev])):
        ka, kb = p.platt(score[dev[fold[dev] != k], j], y[dev[fold[dev] != k]])
        crossed[fold == k] = p.sigmoid(ka * score[fold == k, j] + kb)
    status = "finding" if passes(t) else "experimental"
    return {"status": status, "out_of_fold": t, "calibration": {
        "a": round(a, 4), "b": round(b, 4), "prevalence": round(float(y[dev].mean()), 4),
        "ece_before": p.ece(p.sigmoid(score[dev, j]), y[dev]), "ece_after_cross_fitted": p.ece(crossed[dev], y[dev])},
        "operating_point": operating(p.sigmoid(a * score[dev, j] + b), y[dev], none[dev], z["patient"][dev]),
        "subgroups_vs_none": subgroups(z, j, dev, none, score) if status == "finding" else {}}


def validation(z, j, val, none, score, label):
    """The shipped network with the shipped calibration and threshold, on patients that no training saw."""
    y = z["label"][:, j]
    prob = p.sigmoid(label["calibration"]["a"] * score[val, j] + label["calibration"]["b"])
    rows = val[none[val] | (y[val] == 1)]
    hit = prob >= label["operating_point"]["threshold"]
    draws = p.bootstrap(z["patient"][rows], lambda i: p.auroc(y[rows][i], score[rows, j][i]), DRAWS)
    return {"films": len(val), "positives": int(y[val].sum()), "auroc_vs_none": round(p.auroc(y[rows], score[rows, j]), 3),
            "auroc_vs_none_95": p.interval(draws), "ece": p.ece(prob, y[val], 8), "sensitivity": round(float(hit[y[val] == 1].mean()), 3),
            "specificity": round(float((~hit)[y[val] == 0].mean()), 3)}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--stage", choices=("folds", "final"), action="append", help="folds first, then final; both when left out")
    a = ap.parse_args()
    torch.set_num_threads(1)
    z = dict(np.load(f"{a.work}/films.npz"))
    fold = split(z["patient"])
    none = z["label"][:, 0] == 0
    dev, val = np.flatnonzero(z["more"] & (fold >= 0)), np.flatnonzero(z["more"] & (fold == -1))
    score = np.full(z["label"].shape, np.nan)

    def read(part):
        done = np.load(f"{a.work}/radiograph-{part}.npz")
        score[done["at"]] = done["logits"]
    stages = a.stage or ["folds", "final"]
    if "folds" in stages:
        for k in range(FOLDS):
            read(k)
        scored = rivals(z, a.work)
        films = {"more": int(z["more"].sum()), "labels": int((~z["more"]).sum()), "out_of_fold": len(dev), "validation": len(val),
                 "patients_out_of_fold": len(set(z["patient"][dev])), "patients_validation": len(set(z["patient"][val])),
                 "refused_by_lungs_more": round(float((z["refusal"][z["more"]] != "").mean()), 4)}
        out = {"films": films, "folds": FOLDS, "cells": f"{SIZE // CELL} x {SIZE // CELL}", "epochs": EPOCHS, "bootstrap_draws": DRAWS,
               "duplicates": kept_audit(z, a.work), "labels": {}}
        for j, label in enumerate(LABELS):
            r = out["labels"][label] = out_of_fold(z, j, dev, none, score, scored, fold)
            print(label, r["status"], {k: (v["auroc"], v["thumb16"]["auroc"], v["frozen"]["auroc"], v["frozen"]["gain_95"])
                                       for k, v in r["out_of_fold"].items()}, flush=True)
        p.write_json(HERE / "metrics.json", out)
    if "final" in stages:
        out = json.loads((HERE / "metrics.json").read_text())
        read("final")
        for j, label in enumerate(LABELS):
            out["labels"][label]["validation"] = validation(z, j, val, none, score, out["labels"][label])
        out["heatmaps"] = heatmaps.report(z, fold, a.work, out["labels"])
        p.write_json(HERE / "metrics.json", out)


if __name__ == "__main__":
    main()
