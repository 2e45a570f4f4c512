"""Make the shipped files of `brain-mr`: weights.pt, weights.cuda.pt, golden/, card.md, and model.toml with figures from metrics.json.

    python export.py --work DIR            # after train.py and report.py; DIR holds brain-final.pth
"""
import argparse
import json
import sys
from pathlib import Path

import pydicom
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import card
import fast
import golden
import package
import pipeline as p
import volumes
from display import small_file
from healthy import STEP_MM
from train import CLASSES, RECIPE, RULE, SAMPLES, SHARES, SIZES, saved

STRANGE_MAX = 1.9              # median over the slices of a series; see the card for what lies on either side

MANIFEST = '''schema = "overread.model/1"
name = "brain-mr"
version = "1.0.0"
title = "Localises and measures a brain tumour on contrast-enhanced T1 MRI; does not screen"
kind = "slices"
task = "segmentation"
license = "Apache-2.0"
intended_use = "Research use only. Not a medical device."

[weights]
file = "weights.pt"                    # TorchScript, float32 N x 1 x {rows} x {columns} in; packs its convolutions for the CPU when loaded
sha256 = ""
outputs = ["mask", "classes", "ood"]   # N x 1 x {rows} x {columns} logits, N x {classes} logits, N (squared Mahalanobis distance per dimension)
device = "cpu"
other = {{ file = "weights.cuda.pt", sha256 = "" }}

[select]
modality = ["MR"]
body_part = ["BRAIN", "HEAD", ""]
description_not = ["loc", "scout", "survey", "dwi", "diff", "adc", "trace", "swi", "phase", "flair", "t2", "pd", "tof", "mra", "bold", "asl", "spectro", "spine"]
orientation = ["axial", "coronal", "sagittal"]
slices_min = 8
slice_spacing_mm = [0.4, 10.0]

[input]
intensity = [{{ by = "quantile", low = {low}, high = {high}, over = "slice" }}]     # the training slices were stretched one by one
step_mm = {step}
size = [{rows}, {columns}]
fit = "{fit}"
mean = {mean}
std = {std}

[mask]
threshold = {threshold}
part_ml_min = {ml}
part_mm_min = {mm}                        # two slices that lie {step} mm apart, or one thick slice

[aggregate]
key_slices = 3

[refuse]
spread_min = 0.02
ood = {{ by = "output", max = {strange} }}

[[labels]]
name = "brain_tumour"
code = {{ value = "BRAIN-TUMOUR", scheme = "99OVERREAD", meaning = "Mass suspected to be a brain tumour" }}
status = "{status}"
calibration = {{ a = 1.0, b = 0.0 }}     # of the level at which a part still stands: no chance of disease
threshold = {label_threshold}
'''
CLASS = '''
[[classes]]
name = "{name}"
code = {{ value = "{value}", scheme = "99OVERREAD", meaning = "{meaning}" }}
status = "{status}"
calibration = {{ a = 1.0, b = 0.0 }}
threshold = 0.5
'''
MEANING = {"glioma": "Glioma", "meningioma": "Meningioma", "pituitary": "Pituitary tumour"}
TAIL = '''
[self_test]
expect = { file = "golden/self_test_mask.npy", sha256 = "" }
tolerance = 1e-3
'''


def status(m):
    """The gate, see the card: {brain_tumour, class}."""
    mask, c = m["mask"], m["class"]
    localises = mask["all"]["dice"]["interval_95"][0] > max(mask["mean_mask"]["interval_95"][1], m["readme"]["dice_mean_mask"])
    rivals = [c[k] for k in ("thumb16", "histogram", "frozen")]
    tells = c["interval_95"][0] > max(*m["readme"]["class"].values(), *(r["auroc_macro"] for r in rivals)) and all(r["gain_95"][0] > 0 for r in rivals)
    return {"brain_tumour": "finding" if localises else "experimental", "class": "finding" if tells else "experimental"}


def manifest(metrics):
    rows, columns = RECIPE["size"]
    low, high = RECIPE["contrast"]
    text = MANIFEST.format(rows=rows, columns=columns, classes=len(CLASSES), low=low, high=high, step=STEP_MM, fit=RECIPE["fit"], mean=RECIPE["mean"],
                           std=RECIPE["std"], threshold=RULE["threshold"], ml=RULE["part_ml_min"], mm=RULE["part_mm_min"], strange=STRANGE_MAX,
                           status=metrics["status"]["brain_tumour"], label_threshold=RULE["level"])
    return text + "".join(CLASS.format(name=c, value=c.upper(), meaning=MEANING[c], status=metrics["status"]["class"]) for c in CLASSES) + TAIL


def shape():
    """What the card's text names of the recipe."""
    size, (low, high) = RECIPE["size"][0], RECIPE["contrast"]
    return {"size": size, "low": low, "high": high, "samples": SAMPLES, "epochs": len(SIZES), "strange_max": STRANGE_MAX,
            "grid": round(0.49 * 512 / size, 2), **{f"share_{k}": f"{v:.0%}" for k, v in SHARES.items()}}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--work", required=True)
    a = ap.parse_args()
    torch.set_num_threads(1)
    metrics = json.loads((HERE / "metrics.json").read_text())
    metrics["status"] = status(metrics)
    fast.export(saved(a.work, "final"), HERE, RECIPE["size"])
    slice_ = volumes.modality(pydicom.dcmread(small_file("MR_small.dcm")))
    golden.slices_example(HERE, "mr_small", p.prepare(slice_, RECIPE)[None, None], ["mask", "classes", "ood"])
    (HERE / "model.toml").write_text(manifest(metrics))
    (HERE / "card.md").write_text(card.render(metrics, shape()))
    package.seal(HERE)


if __name__ == "__main__":
    main()
