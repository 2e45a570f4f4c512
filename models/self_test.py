"""Write the self-test's expected answer of a model folder: what its own weights say about an input that is a formula.

    python self_test.py FOLDER...     # FOLDER holds model.toml and the weights that it names; then run package.py

Needs torch and numpy. The answer is that of this Python: the service must give the same, whatever it runs on.
"""
import argparse
import tomllib
from pathlib import Path

import numpy as np

MAIN = {"multi-label": "logits", "multi-class": "logits", "segmentation": "mask", "detection": "scores"}


def self_test_input(size, channels=1):
    """x[k, d, r, c] = sin(0.05 r) * cos(0.03 c) + 0.002 (r - c) + 0.1 k + 0.05 d, in float64, kept as float32.

    `size`: [rows, columns], or [depth, rows, columns]; k counts channels. Result: 1 x channels x size.
    """
    d, r, c = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in (1, *size)[-3:]), indexing="ij")
    plane = np.sin(0.05 * r) * np.cos(0.03 * c) + 0.002 * (r - c) + 0.05 * d
    x = np.stack([plane + 0.1 * k for k in range(channels)])
    return x.reshape(1, channels, *size).astype(np.float32)


def input_size(manifest):
    """(size, channels) of one sample, from [input]."""
    recipe = manifest["input"]
    offsets = 2 * recipe.get("neighbours", {"count": 0})["count"] + 1
    own = offsets * max(1, len(recipe.get("windows", []))) if manifest["kind"] != "radiograph" else 1
    size = recipe.get("patch") or recipe.get("grid") if manifest["kind"] == "volume" else recipe["size"]
    return size, recipe.get("channels", own)


def main_output(manifest, returned):
    """The tensor that the self-test compares, of what the network returned."""
    role, outputs = MAIN[manifest["task"]], manifest["weights"]["outputs"]
    slot = outputs.index(role) if isinstance(outputs, list) else outputs[role]
    return returned if hasattr(returned, "numpy") else returned[slot]


def write(folder):
    import torch
    folder = Path(folder)
    manifest = tomllib.loads((folder / "model.toml").read_text())
    net = torch.jit.load(str(folder / manifest["weights"]["file"]), map_location="cpu").eval()
    with torch.inference_mode():
        answer = main_output(manifest, net(torch.from_numpy(self_test_input(*input_size(manifest))))).float().numpy()
    test = manifest["self_test"]
    if "every" in test:
        answer = answer.ravel()[::test["every"]]
    path = folder / test["expect"]["file"]
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.ascontiguousarray(answer, np.float32))
    print(path, answer.shape)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("folder", nargs="+")
    for each in ap.parse_args().folder:
        write(each)
