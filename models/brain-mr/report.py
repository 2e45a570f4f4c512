"""metrics.json of `brain-mr`: every figure of the card, from the parts that train.py left in WORK.

    python report.py --data DIR --heads DIR --work DIR --corpus DIR

"Out of fold": by the network that saw no slice of the group, or nothing of the healthy head. `--corpus` holds the public DICOM files (others.py).
"""
import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import features
import healthy
import others
import pipeline as p
from train import CLASSES, FOLDS, RECIPE, RULE, answers, saved

DRAWS = 300
SLICE_MM, PIXEL_MM = 7.0, 0.49 * 512 / 256            # of the set: slices of 6 mm, 1 mm apart (Cheng et al., PLoS ONE 2015); of the stored 256 px
README = {"class": {"thumb16": 0.888, "frozen": 0.942}, "dice_mean_mask": 0.17}      # the set's own baselines


def dice(a, b):
    return float(2 * (a & b).sum() / max(a.sum() + b.sum(), 1))


def level(prob, pixel_mm, step_mm, ml_min, mm_min):
    """The highest probability at which a 26-connected part of that volume and extent along the normal still stands; 0: at none. `prob`: slices x rows x
    columns, 0..255."""
    low, high = 0, 256
    voxel_ml = pixel_mm ** 2 * step_mm / 1000
    while high - low > 1:
        cut = (low + high) // 2
        parts, n = ndimage.label(prob >= cut, np.ones((3, 3, 3)))
        volumes = np.bincount(parts.ravel())[1:] * voxel_ml
        extents = [(s[0].stop - s[0].start) * step_mm for s in ndimage.find_objects(parts)]
        stands = any(v >= ml_min and e >= mm_min for v, e in zip(volumes, extents))
        low, high = (cut, high) if stands else (low, cut)
    return low / 255


def of_masks(probs, truths):
    """Per slice, on the stored image: Dice; share of the tumour that is marked; parts that touch no tumour; the probability map's mask in pixels."""
    out = []
    for prob, truth in zip(probs, truths):
        mask = p.resample(prob, truth.shape) >= 255 * RULE["threshold"]
        parts, n = ndimage.label(mask, np.ones((3, 3)))
        away = n - len(set(np.unique(parts[truth])) - {0})
        out.append([dice(mask, truth), (mask & truth).sum() / truth.sum(), away, mask.sum() / truth.sum()])
    return np.array(out)


def mean_mask(truths, fold):
    """Dice of the mean mask of the other folds, at its best threshold there."""
    small = np.stack([p.resample(t.astype(np.float32), (64, 64)) for t in truths]) >= 0.5
    out = np.zeros(len(truths))
    for k in np.unique(fold):
        mean = small[fold != k].mean(0)
        best = max(np.linspace(0.02, 0.5, 25), key=lambda c: np.mean([dice(mean >= c, t) for t in small[fold != k]]))
        out[fold == k] = [dice(mean >= best, t) for t in small[fold == k]]
    return out


def with_interval(groups, values, what="mean"):
    of = {"mean": np.mean, "median": np.median}[what]
    return {what: round(float(of(values)), 3), "interval_95": p.interval(p.bootstrap(groups, lambda i: of(values[i]), DRAWS))}


def mask_figures(m, groups, rows):
    d = m[rows, 0]
    return {"slices": len(rows), "groups": len(set(groups[rows])), "dice": with_interval(groups[rows], d), "dice_median": round(float(np.median(d)), 3),
            "dice_p5": round(float(np.percentile(d, 5)), 3), "overlap_at_least_half": with_interval(groups[rows], (m[rows, 1] >= 0.5).astype(float)),
            "missed": with_interval(groups[rows], (m[rows, 1] < 0.1).astype(float)), "parts_elsewhere_per_slice": with_interval(groups[rows], m[rows, 2])}


def macro(y, s):
    return np.mean([p.auroc(y == c, s[:, c]) for c in range(len(CLASSES))])


def class_figures(y, score, groups, rivals):
    draws = p.bootstrap(groups, lambda i: [macro(y[i], score[i])] + [macro(y[i], r[i]) for r in rivals.values()], DRAWS)
    out = {"auroc_macro": round(macro(y, score), 4), "interval_95": p.interval(draws[:, 0]),
           "one_against_rest": {c: round(p.auroc(y == k, score[:, k]), 4) for k, c in enumerate(CLASSES)},
           "right": with_interval(groups, (score.argmax(1) == y).astype(float)),
           "confusion": [[int(((y == a) & (score.argmax(1) == b)).sum()) for b in range(len(CLASSES))] for a in range(len(CLASSES))]}
    for k, (name, r) in enumerate(rivals.items()):
        out[name] = {"auroc_macro": round(macro(y, r), 4), "gain_95": p.interval(draws[:, 0] - draws[:, 1 + k])}
    return out


def rule_figures(probs, series, step_of, grid_mm):
    """What the series rule does, for several smallest volumes: share of tumour slices that alone would make a series positive, and the level that
    each healthy series reaches."""
    out = {}
    for ml in (0.5, 2.0):
        alone = np.array([level(q[None], grid_mm, SLICE_MM, ml, RULE["part_mm_min"]) for q in probs])
        out[str(ml)] = {"tumour_slices_alone": {str(t): round(float((alone >= t).mean()), 3) for t in (0.5, RULE["level"], 0.9)},
                        "healthy": {n: round(level(q, mm, step, ml, RULE["part_mm_min"]), 3) for n, (q, mm, step) in series.items()}}
    return out


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def main():
    ap = argparse.ArgumentParser()
    for name in ("data", "heads", "work", "corpus"):
        ap.add_argument(f"--{name}", required=True)
    a = ap.parse_args()
    torch.set_num_threads(1)
    table = p.rows(a.data, "mri-brain")
    parts = {k: dict(np.load(f"{a.work}/brain-{k}.npz")) for k in range(FOLDS) if Path(f"{a.work}/brain-{k}.npz").exists()}
    rows = np.concatenate([q["rows"] for q in parts.values()])
    fold = np.repeat(list(parts), [len(q["rows"]) for q in parts.values()])
    probs, kind, strange = (np.concatenate([q[k] for q in parts.values()]) for k in ("prob", "kind", "strange"))
    groups, y = np.array([table[i]["group"] for i in rows]), np.array([CLASSES.index(table[i]["label"]) for i in rows])
    truths = [m > 0 for m in p.images(a.data, "mri-brain", [table[i]["mask"] for i in rows], "masks.zip")]
    images = [x / np.float32(255) for x in p.images(a.data, "mri-brain", [table[i]["image"] for i in rows])]

    m = of_masks(probs, truths)
    masks = {"all": mask_figures(m, groups, np.arange(len(rows)))}
    masks |= {c: mask_figures(m, groups, np.flatnonzero(y == k)) for k, c in enumerate(CLASSES)}
    masks["mean_mask"] = with_interval(groups, mean_mask(truths, fold))
    print(masks, flush=True)
    seen = {"thumb16": features.thumb16(images), "histogram": features.histogram(images), "frozen": features.components(features.frozen(images), 128)}
    rivals = {k: features.out_of_fold(v, y, fold) for k, v in seen.items()}
    classes = class_figures(y, softmax(kind), groups, rivals)
    print(classes, flush=True)

    grid = lambda s: s.pixel_mm * max(s.slices.shape[1:]) / RECIPE["size"][0]
    held = {s.name: s for s in healthy.series(a.heads) if s.fold in parts}
    found = {n: (parts[s.fold][f"{n}/prob"], grid(s), s.step_mm) for n, s in held.items()}
    rule = rule_figures(probs, found, SLICE_MM, PIXEL_MM * 256 / RECIPE["size"][0])
    series = {n: {"head": held[n].head, "slices": len(q), "step_mm": round(step, 2), "level": round(level(q, mm, step, RULE["part_ml_min"], RULE["part_mm_min"]), 3),
                  "marked_ml": round(float((q >= 255 * RULE["threshold"]).sum() * mm ** 2 * step / 1000), 2),
                  "slices_marked": int((q >= 255 * RULE["threshold"]).any((1, 2)).sum()), "strangeness": round(float(np.median(parts[held[n].fold][f"{n}/strange"])), 2)}
              for n, (q, mm, step) in found.items()}
    print(series, flush=True)
    nets = [saved(a.work, str(k)) for k in parts]
    strange_others = {k: np.concatenate([answers(net, v)[2] for net in nets]) for k, v in others.slices(a.corpus, others.MR).items()}
    out = {"slices": len(rows), "groups": len(set(groups)), "slices_of_the_set": len(table), "folds": FOLDS, "folds_scored": len(parts), "bootstrap_draws": DRAWS, "readme": README, "mask": masks, "class": classes,
           "rule": {"chosen": RULE, "by_smallest_ml": rule}, "healthy": series,
           "strangeness": {"tumour_slices_out_of_fold": {"median": round(float(np.median(strange)), 2), "p99": round(float(np.percentile(strange, 99)), 2),
                                                         "highest": round(float(strange.max()), 2)},
                           "others": others.figures(strange, strange_others)}}
    p.write_json(HERE / "metrics.json", out)
    print(out["strangeness"], rule)


if __name__ == "__main__":
    main()
