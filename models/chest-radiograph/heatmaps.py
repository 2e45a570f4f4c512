"""Tests of the class-activation maps: are they in the lungs, do they point into radiologists' boxes, do they follow the weights?

All maps are out of fold: made by the network that saw no film of the patient (validation patients: by the shipped one).
"""
import re
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

import lungs
import network
import pipeline as p
from train import FOLDS, HERE, LABELS, RECIPE, SIZE

BOX_NAMES = {"Effusion": "pleural_effusion", "Infiltrate": "infiltration"}
EACH = 15                     # films a label in the lung test


def nets(work):
    out = {}
    for part in (*map(str, range(FOLDS)), "final"):
        if not (Path(work) / f"radiograph-{part}.pth").exists():
            continue
        net = network.Classifier(len(LABELS)).to(memory_format=torch.channels_last)
        net.load_state_dict(torch.load(Path(work) / f"radiograph-{part}.pth"))
        out[-1 if part == "final" else int(part)] = net.eval()
    return out


@torch.inference_mode()
def maps_of(net, z, i):
    """Maps of one film, L x SIZE x SIZE, on the crop."""
    x = torch.from_numpy(p.prepare(z["film"][i], RECIPE, z["box"][i]))[None, None].contiguous(memory_format=torch.channels_last)
    return torch.nn.functional.interpolate(net(x)[1], size=(SIZE, SIZE), mode="bilinear")[0].numpy()


def lung_mask(model, z, i):
    """Lung mask on the crop, SIZE x SIZE."""
    prob = p.resample(lungs.look(model, z["film"][i]).probability, z["film"][i].shape)
    x0, y0, x1, y1 = p.crop_pixels(z["box"][i], prob.shape)
    return p.resample(prob[y0:y1, x0:x1], (SIZE, SIZE)) >= 0.5


def in_lungs(z, fold, made, model, j, rng):
    at = np.flatnonzero(z["more"] & (z["label"][:, j] == 1) & np.isin(fold, list(made)))
    at = rng.permutation(at)[:EACH]
    share, area = [], []
    for i in at:
        m, mask = np.maximum(maps_of(made[fold[i]], z, i)[j], 0), lung_mask(model, z, i)
        if m.sum() > 0 and mask.any():
            share.append(m[mask].sum() / m.sum())
            area.append(mask.mean())
    return {"films": len(share), "mass_in_lungs": round(float(np.mean(share)), 3), "lung_share_of_crop": round(float(np.mean(area)), 3)} if share else None


def pointing(z, fold, made):
    """Does the highest point of the map lie in a box of the label? Chance = the box's share of the crop."""
    hits, chance, labels = [], [], []
    for i in np.flatnonzero((z["boxes"] != "") & np.isin(fold, list(made))):
        for name, numbers in re.findall(r"(\w+):([\d ]+)", str(z["boxes"][i])):
            label = BOX_NAMES.get(name, name.lower())
            if label not in LABELS:
                continue
            scale = 1 if z["more"][i] else 128 / 288
            bx0, by0, bx1, by1 = (float(v) * scale for v in numbers.split())
            m = maps_of(made[fold[i]], z, i)[LABELS.index(label)]
            y, x = np.unravel_index(m.argmax(), m.shape)
            x0, y0, x1, y1 = p.crop_pixels(z["box"][i], z["film"][i].shape)
            px, py = x0 + (x + 0.5) / SIZE * (x1 - x0), y0 + (y + 0.5) / SIZE * (y1 - y0)
            hits.append(bx0 <= px <= bx1 and by0 <= py <= by1)
            wide, tall = max(0, min(bx1, x1) - max(bx0, x0)), max(0, min(by1, y1) - max(by0, y0))
            chance.append(wide * tall / ((x1 - x0) * (y1 - y0)))
            labels.append(label)
    each = {l: [int(sum(h for h, k in zip(hits, labels) if k == l)), labels.count(l)] for l in sorted(set(labels))}
    return {"boxes": len(hits), "hits": int(np.sum(hits)), "accuracy": round(float(np.mean(hits)), 3),
            "chance": round(float(np.mean(chance)), 3), "hits_of_label": each}


def randomised(z, made):
    """Rank correlation of the shipped network's maps with those of the same network with random head, or all random."""
    torch.manual_seed(0)
    at = np.flatnonzero(z["more"])[::100]
    out = {}
    for name, parts in (("head", ("fc",)), ("last_stage_and_head", ("fc", "head", "blocks.15")), ("everything", ("",))):
        net = network.Classifier(len(LABELS)).to(memory_format=torch.channels_last)
        net.load_state_dict(made[-1].state_dict())
        for k, w in net.named_parameters():
            if k.startswith(parts) and w.dim() > 1:
                w.data = torch.randn_like(w) * w.std()
        rho = [spearmanr(a.ravel()[::97], b.ravel()[::97])[0] for i in at
               for a, b in [(maps_of(made[-1], z, i), maps_of(net.eval(), z, i))]]
        out[name] = round(float(np.nanmean(np.abs(rho))), 3)
    return out


def report(z, fold, work):
    made, model, rng = nets(work), lungs.load(HERE.parent / "chest-lungs"), np.random.default_rng(0)
    return {"lungs": {l: in_lungs(z, fold, made, model, j, rng) for j, l in enumerate(LABELS)},
            "pointing": pointing(z, fold, made), "randomised_weights_rank_correlation": randomised(z, made)}
