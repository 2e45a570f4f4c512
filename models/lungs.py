"""What `chest-lungs` says about one image: lung mask, fields, crop box, and the rules that refuse what is no upright frontal chest.

The service carries out the same rules; both read their numbers from `[quality]` of model.toml.
"""
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

import network
import pipeline as p


@dataclass
class Look:
    """All positions and shares are relative to the image: 0..1, x to the right, y down."""
    measures: dict
    box: tuple | None          # x0, y0, x1, y1 of the fields
    crop: tuple                # the box with its margin; the whole image where there is no box or the image is refused
    refusal: str | None        # code of the service, None = accepted
    probability: np.ndarray    # of the grid's content (no letterbox)


def load(folder):
    """(network, manifest) of a chest-lungs folder."""
    manifest = tomllib.loads((Path(folder) / "model.toml").read_text())
    net = torch.jit.load(str(Path(folder) / manifest["weights"]["file"]))
    return net, manifest


def probability(net, display, recipe):
    """(lung probability, what the network saw as 0..1) on the grid, cut to the image's content."""
    x = torch.from_numpy(p.prepare(display, recipe))[None, None]
    with torch.inference_mode():
        out = net(x)
    grid = torch.sigmoid(out[0] if isinstance(out, tuple) else out)[0, 0].numpy()
    nh, nw, top, left = p.letterbox_size(display.shape, recipe["size"])
    seen = x[0, 0].numpy() * recipe["std"] + recipe["mean"]
    return grid[top:top + nh, left:left + nw], seen[top:top + nh, left:left + nw]


def fields_of(mask, second_min):
    """The two largest 4-connected parts, larger first; the second only from `second_min` of the first on (specks of air are no lung)."""
    parts, n = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, n + 1)) if n else np.zeros(0)
    order = np.argsort(-sizes, kind="stable")[:2]
    return [parts == i + 1 for i in order if sizes[i] >= second_min * sizes[order[0]]]


def measure(prob, seen, second_min):
    """Numbers that the rules use; None without any field. `prob` and `seen` (the input, 0..1) share the grid's content."""
    fields = fields_of(prob >= 0.5, second_min)
    if not fields:
        return None
    mask = np.any(fields, 0)
    h, w = mask.shape
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    inside, view = mask[y0:y1, x0:x1], seen[y0:y1, x0:x1]
    (ay, ax), (by, bx) = (ndimage.center_of_mass(f) for f in (fields[0], fields[-1]))
    return {"fields": len(fields), "area_share": mask.mean(), "balance": fields[-1].sum() / fields[0].sum(),
            "apart_x": abs(ax - bx) / (x1 - x0), "apart_y": abs(ay - by) / (y1 - y0), "center_x": (x0 + x1) / 2 / w, "center_y": (y0 + y1) / 2 / h,
            "width": (x1 - x0) / w, "height": (y1 - y0) / h,
            "polarity": float(view[~inside].mean() - view[inside].mean()) if (~inside).any() else 0.0,
            "box": (x0 / w, y0 / h, x1 / w, y1 / h)}


CODES = {"area_share": "WrongBodyPart", "fields": "WrongView", "balance": "WrongView", "apart_x": "WrongView", "apart_y": "WrongView",
         "center_x": "WrongView", "center_y": "WrongView", "width": "WrongView", "height": "WrongView", "polarity": "QualityTooLow"}


def judge(m, rules):
    """Code of the first rule, in the order of CODES, that a mask breaks; None = accepted. A rule is [lowest, highest], both allowed."""
    if m is None:
        return "WrongBodyPart"
    return next((code for key, code in CODES.items() if not rules[key][0] <= m[key] <= rules[key][1]), None)


def grown(box, margin):
    x0, y0, x1, y1 = box
    mx, my = margin * (x1 - x0), margin * (y1 - y0)
    return (max(0.0, x0 - mx), max(0.0, y0 - my), min(1.0, x1 + mx), min(1.0, y1 + my))


def look(model, display, margin=0.08):
    net, manifest = model
    recipe, rules = manifest["input"], manifest["quality"]
    prob, seen = probability(net, display, recipe)
    m = measure(prob, seen, rules["second_field_min"])
    refusal = judge(m, rules)
    box = m["box"] if m else None
    crop = grown(box, margin) if box and not refusal else (0.0, 0.0, 1.0, 1.0)
    return Look(m or {}, box, crop, refusal, prob)
