"""Golden examples: what the training pipeline makes of one public DICOM file, for the service's tests and self-test.

From RG1_UNCI.dcm (PyPI pydicom-data 1.0.0), per model, in `golden/`:
  rg1_input.npy      float32 1 x 1 x rows x columns, after the whole recipe
  rg1_logits.npy     what the shipped weights answer (and rg1_maps.npy where there are maps)
  rg1_display_64.npy display values reduced to longest side 64, to tell a wrong window from a wrong recipe
  rg1_look.json      chest-lungs only: the measures of the mask, box and crop
  self_test_logits.npy   the answer to the self-test input, which is a formula (self_test.py)
Models of slices have the same of one slice of MR_small.dcm or CT_small.dcm (PyPI pydicom 3.0.2), see `slices_example`.
"""
import json
from pathlib import Path

import numpy as np
import torch

import lungs
import pipeline as p
from display import display, registry_file
from self_test import self_test_input


def outputs(folder, x):
    net = torch.jit.load(str(Path(folder) / "weights.pt"))
    with torch.inference_mode():
        return [o.numpy() for o in net(torch.from_numpy(x))]


def save(folder, name, array):
    np.save(Path(folder) / "golden" / name, np.ascontiguousarray(array, np.float32))


def common(folder, recipe, box):
    (Path(folder) / "golden").mkdir(exist_ok=True)
    shown = display(registry_file())
    save(folder, "rg1_display_64.npy", p.reduce_longest(shown, 64))
    x = p.prepare(shown, recipe, box)[None, None]
    save(folder, "rg1_input.npy", x)
    wave = self_test_input(recipe["size"])
    save(folder, "self_test_logits.npy", outputs(folder, wave)[0])
    return shown, outputs(folder, x)


def slices_example(folder, name, x, roles):
    """Of a model of slices: NAME_input.npy (1 x channels x rows x columns, after the whole recipe), NAME_ROLE.npy of each output, and the self-test's."""
    (Path(folder) / "golden").mkdir(exist_ok=True)
    save(folder, f"self_test_{roles[0]}.npy", outputs(folder, self_test_input(x.shape[2:], x.shape[1]))[0])
    save(folder, f"{name}_input.npy", x)
    for role, out in zip(roles, outputs(folder, x)):
        save(folder, f"{name}_{role}.npy", out)


def lungs_example(folder):
    net, manifest = lungs.load(folder)
    shown, out = common(folder, manifest["input"], None)
    save(folder, "rg1_logits.npy", out[0])
    look = lungs.look((net, manifest), shown)
    facts = {"measures": look.measures, "box": look.box, "crop_margin_0.08": look.crop, "refusal": look.refusal}
    (Path(folder) / "golden" / "rg1_look.json").write_text(json.dumps(facts, indent=1, default=float) + "\n")


def classifier_example(folder, recipe):
    shown = display(registry_file())
    look = lungs.look(lungs.load(Path(folder).parent / "chest-lungs"), shown, recipe["crop"]["margin"])
    _, out = common(folder, recipe, look.crop)
    save(folder, "rg1_logits.npy", out[0])
    save(folder, "rg1_maps.npy", out[1])
