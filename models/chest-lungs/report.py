"""Measure `chest-lungs`: metrics.json from the parts that train.py left in DIR, and refusal rates of the shipped weights and rules.

    python report.py --data DIR --work DIR

No chest of cxr-adult-nih was in the training of `chest-lungs`; the other body regions are the three quarters that train.py left out.
"""
import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import lungs
import pipeline as p
from train import FOLDS

EACH = 80                      # images of each kind of wrong input
STEP = 20                       # every twentieth adult chest; the refusals among all of them: metrics.json of chest-radiograph


def out_of_fold(work):
    """Dice of every image by the network that did not see its patient, over the folds that were trained."""
    kinds = {"child": [], "adult": []}
    done = sorted(Path(work).glob("lungs-[0-9].json"))
    for part in done:
        for k, v in json.loads(part.read_text()).items():
            kinds[k] += v
    rng = np.random.default_rng(0)
    out = {"folds_scored": len(done), "folds": FOLDS}
    for k, v in kinds.items():
        v = np.array(v)
        means = [v[rng.integers(0, len(v), len(v))].mean() for _ in range(2000)]
        out[k] = {"images": len(v), "dice_mean": round(float(v.mean()), 4), "interval_95": p.interval(means),
                  "dice_p5": round(float(np.percentile(v, 5)), 4), "dice_min": round(float(v.min()), 4)}
    return out


def kinds(data):
    """Name of a kind of input: its images."""
    more = [r["image"] for r in p.rows(data, "cxr-adult-nih", "more.csv")]
    films = p.images(data, "cxr-adult-nih", more[::STEP], "more.zip")
    few = films[:: len(films) // EACH][:EACH]
    yield "adult chests (cxr-adult-nih more)", films
    stored = [r["image"] for r in p.rows(data, "cxr-adult-nih")][::STEP]
    yield "adult chests (cxr-adult-nih labels)", p.images(data, "cxr-adult-nih", stored)
    yield "turned by 90 degrees", [np.rot90(f) for f in few]
    yield "turned by 180 degrees", [np.rot90(f, 2) for f in few]
    yield "turned by 270 degrees", [np.rot90(f, 3) for f in few]
    yield "inverted", [255 - f for f in few]
    yield "left half only", [f[:, :64] for f in few]
    yield "upper third only", [f[:43] for f in few]
    for name in ("ct-head-ich", "ct-lung", "mri-brain"):
        rows = [r for i, r in enumerate(p.rows(data, name)) if i % 4]
        rows = rows[:: max(1, len(rows) // EACH)][:EACH]
        yield name, p.images(data, name, [r["image"] for r in rows])


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True)
    ap.add_argument("--work", required=True)
    ap.add_argument("--measures", help="also write every measured number to this .json")
    a = ap.parse_args()
    torch.set_num_threads(1)
    model = lungs.load(HERE)
    refused, measures = {}, {}
    for name, images in kinds(a.data):
        looks = [lungs.look(model, im.astype(np.float32) / 255) for im in images]
        codes = Counter(l.refusal or "accepted" for l in looks)
        refused[name] = {"images": len(looks), "refused": round(1 - codes["accepted"] / len(looks), 4), **dict(codes)}
        measures[name] = [{k: np.round(v, 4).tolist() for k, v in l.measures.items()} for l in looks]
        print(name, refused[name], flush=True)
    if a.measures:
        Path(a.measures).write_text(json.dumps(measures))
    p.write_json(HERE / "metrics.json", {"out_of_fold_dice": out_of_fold(a.work), "refusal": refused})


if __name__ == "__main__":
    main()
