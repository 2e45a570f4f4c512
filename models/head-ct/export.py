"""Make the shipped files of `head-ct`: weights.pt, weights.cuda.pt, golden/, card.md, and model.toml with labels from metrics.json.

    python export.py --work DIR            # after train.py and report.py; DIR holds head-final.pth
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
import volumes
from display import small_file
from report import PATIENTS_MIN
from train import CELL, LABELS, NARROW, RECIPE, SIZE, TOP, WIDE, prepared, saved, wide_of

STEP_MM = 10.0                 # the figures per patient are of slices about this far apart
STRANGE_MAX = 3.0              # median over the slices of a series; see the card for what lies on either side

MANIFEST = '''schema = "overread.model/1"
name = "head-ct"
version = "1.0.0"
title = "Intracranial haemorrhage on head CT"
kind = "slices"
task = "multi-label"
license = "Apache-2.0"
intended_use = "Research use only. Not a medical device."

[weights]
file = "weights.pt"            # TorchScript, float32 N x 2 x {rows} x {columns} in; packs its convolutions for the CPU when loaded
sha256 = ""
outputs = ["logits", "maps", "ood"]    # N x {labels}, N x {labels} x {map_rows} x {map_columns} (evidence cell by cell), N (squared Mahalanobis distance per dimension)
device = "cpu"
other = {{ file = "weights.cuda.pt", sha256 = "" }}

[select]
modality = ["CT"]
body_part = ["HEAD", "BRAIN", ""]
description_not = ["bone", "angio", "cta", "perf", "topo", "scout", "sinus", "neck"]
orientation = ["axial"]
slices_min = 8
slice_spacing_mm = [0.3, 10.0]

[input]
windows = [[{wide[0]}, {wide[1]}], [{narrow[0]}, {narrow[1]}]]
step_mm = {step}                 # as far apart as the slices that the figures per patient are of
size = [{rows}, {columns}]
fit = "{fit}"
mean = {mean}
std = {std}

[aggregate]
rule = "mean"
slices = {top}
key_slices = 3

[refuse]
spread_min = 0.02
ood = {{ by = "output", max = {strange} }}
'''
LABEL = '''
[[labels]]
name = "{name}"
channel = {channel}
code = {{ value = "{code[0]}", scheme = "99OVERREAD", meaning = "{code[1]}" }}
status = "{status}"
calibration = {{ a = {a}, b = {b} }}
threshold = {threshold}
indeterminate = [{low}, {threshold}]
operating_point = {{ sensitivity = {sensitivity}, specificity = {specificity} }}
'''
NAMES = {"bleed": ("intracranial_haemorrhage", ("INTRACRANIAL-HEM", "Intracranial haemorrhage")), "ivh": ("intraventricular_haemorrhage", ("IVH", "Intraventricular haemorrhage")),
         "iph": ("intraparenchymal_haemorrhage", ("IPH", "Intraparenchymal haemorrhage")), "sah": ("subarachnoid_haemorrhage", ("SAH", "Subarachnoid haemorrhage")),
         "edh": ("epidural_haematoma", ("EDH", "Epidural haematoma")), "sdh": ("subdural_haematoma", ("SDH", "Subdural haematoma"))}
TAIL = '''
[self_test]
expect = { file = "golden/self_test_logits.npy", sha256 = "" }
tolerance = 1e-3
'''


def manifest(metrics):
    rows, columns = RECIPE["size"]
    # of the types with too few patients to be judged the network has an output, and the manifest no label
    text = MANIFEST.format(rows=rows, columns=columns, labels=len(LABELS), map_rows=rows // CELL, map_columns=columns // CELL, wide=WIDE, narrow=NARROW,
                           step=STEP_MM, fit=RECIPE["fit"], mean=RECIPE["mean"], std=RECIPE["std"], top=TOP, strange=STRANGE_MAX)
    for channel, label in enumerate(LABELS):
        m, (name, code) = metrics["labels"][label], NAMES[label]
        if m["status"] == "not shipped":
            continue
        of = m["patient"]
        text += LABEL.format(name=name, channel=channel, code=code, status=m["status"], a=of["calibration"]["a"], b=of["calibration"]["b"], threshold=of["threshold"],
                             low=of["indeterminate"][0], sensitivity=of["sensitivity"], specificity=of["specificity"])
    return text + TAIL


def shape():
    """What the card's text names of the recipe."""
    return {"size": SIZE, "cells": SIZE // CELL, "wide": WIDE, "narrow": NARROW, "top": TOP, "strange_max": STRANGE_MAX, "patients_min": PATIENTS_MIN}


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--work", required=True)
    a = ap.parse_args()
    torch.set_num_threads(1)
    metrics = json.loads((HERE / "metrics.json").read_text())
    fast.export(saved(a.work, "final", metrics["labels"]), HERE, RECIPE["size"], channels=2)
    x = prepared([wide_of(volumes.modality(pydicom.dcmread(small_file("CT_small.dcm"))))])
    golden.slices_example(HERE, "ct_small", x.contiguous().numpy(), ["logits", "maps", "ood"])
    (HERE / "model.toml").write_text(manifest(metrics))
    (HERE / "card.md").write_text(card.render(metrics, shape()))
    package.seal(HERE)


if __name__ == "__main__":
    main()
