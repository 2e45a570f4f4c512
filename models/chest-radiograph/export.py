"""Make the shipped files of `chest-radiograph`: weights.pt, weights.cuda.pt, golden/, card.md, and model.toml with labels from metrics.json.

    python export.py --work DIR            # after train.py and report.py; DIR holds radiograph-final.pth
"""
import argparse
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import card
import fast
import golden
import package
from train import CELL, LABELS, RECIPE, saved

MARGIN = 0.08
# From the list that DICOM may use without a licence of SNOMED (PS3.16) where it has the finding, else our own.
CODES = {"abnormal": ("263654008", "SCT", "Abnormal"), "pleural_effusion": ("60046008", "SCT", "Pleural effusion"),
         "atelectasis": ("ATELECTASIS", "99OVERREAD", "Atelectasis"), "pneumothorax": ("36118008", "SCT", "Pneumothorax"),
         "cardiomegaly": ("CARDIOMEGALY", "99OVERREAD", "Cardiomegaly"), "mass": ("4147007", "SCT", "Mass"), "nodule": ("27925004", "SCT", "Nodule"),
         "consolidation": ("CONSOLIDATION", "99OVERREAD", "Lung consolidation"), "infiltration": ("112121", "DCM", "Infiltrate"),
         "edema": ("19242006", "SCT", "Pulmonary edema"), "emphysema": ("EMPHYSEMA", "99OVERREAD", "Emphysema"),
         "fibrosis": ("112674009", "SCT", "Fibrosis"), "pleural_thickening": ("PLEURAL-THICK", "99OVERREAD", "Pleural thickening")}

HEAD = '''schema = "overread.model/1"
name = "chest-radiograph"
version = "{version}"
title = "Findings on adult frontal chest radiographs"
kind = "radiograph"
task = "multi-label"
license = "Apache-2.0"
intended_use = "Research use only. Not a medical device."

[weights]
file = "weights.pt"            # TorchScript, float32 N x 1 x {rows} x {columns} in; packs its convolutions for the CPU when loaded
sha256 = ""
outputs = ["logits", "maps"]   # N x {labels}, N x {labels} x {map_rows} x {map_columns}; evidence cell by cell, 0 where the lower edge of the band lies
device = "cpu"
other = {{ file = "weights.cuda.pt", sha256 = "" }}

[select]
modality = ["CR", "DX"]
body_part = ["CHEST", "THORAX", ""]
view_position = ["PA", "AP", ""]
age_years_min = 18             # trained on adults; children's films do not transfer. An unknown age passes: a stated limit

[requires]
lungs = "chest-lungs"

[input]
reduce = {reduce}                   # the training films' size
crop = {{ by = "chest-lungs", margin = {margin} }}
contrast = {contrast}
size = [{rows}, {columns}]
fit = "{fit}"
mean = {mean}
std = {std}
'''
LABEL = '''
[[labels]]
name = "{name}"
code = {{ value = "{code[0]}", scheme = "{code[1]}", meaning = "{code[2]}" }}
status = "{status}"
calibration = {{ a = {a}, b = {b} }}
threshold = {threshold}
indeterminate = [{low}, {threshold}]
operating_point = {{ sensitivity = {sensitivity}, specificity = {specificity} }}
'''
TAIL = '''
[self_test]                    # run at start; input: x[r, c] = sin(0.05 r) * cos(0.03 c) + 0.002 (r - c) at [input] size
expect = { file = "golden/self_test_logits.npy", sha256 = "" }
tolerance = 1e-3
'''


def manifest(metrics, version):
    rows, columns = RECIPE["size"]
    text = HEAD.format(version=version, rows=rows, columns=columns, labels=len(LABELS), map_rows=rows // CELL, map_columns=columns // CELL,
                       reduce=RECIPE["reduce"], margin=MARGIN, contrast=RECIPE["contrast"], fit=RECIPE["fit"], mean=RECIPE["mean"], std=RECIPE["std"])
    for name in LABELS:
        m = metrics["labels"][name]
        point, c = m["operating_point"], m["calibration"]
        text += LABEL.format(name=name, code=CODES[name], status=m["status"], a=c["a"], b=c["b"], threshold=point["threshold"],
                             low=point["indeterminate"][0], sensitivity=point["sensitivity"], specificity=point["specificity"])
    return text + TAIL


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--work", required=True)
    ap.add_argument("--version", default="2.0.0")
    a = ap.parse_args()
    torch.set_num_threads(1)
    metrics = json.loads((HERE / "metrics.json").read_text())
    fast.export(saved(a.work, "final", metrics["labels"]), HERE, RECIPE["size"])
    (HERE / "model.toml").write_text(manifest(metrics, a.version))
    golden.classifier_example(HERE, {**RECIPE, "crop": {"margin": MARGIN}})
    (HERE / "card.md").write_text(card.render(metrics, a.version))
    package.seal(HERE)


if __name__ == "__main__":
    main()
