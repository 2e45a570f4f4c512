"""Tests of the activation maps: do they point into radiologists' boxes, are they in the lungs, do they follow the weights?

All maps are out of fold: made by the network that saw no film of the patient (validation patients: by the shipped one). The
boxes are used nowhere else. What is compared is what the service shows: the map bilinear over the crop, without the letterbox.
"""
import copy
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

import lungs
import pipeline as p
from train import FOLDS, HERE, LABELS, RECIPE, SIZE, saved

# NIH's boxes of a pneumonia have no label here: they are held against the map of what a pneumonia looks like.
BOX_NAMES = {"Effusion": "pleural_effusion", "Infiltrate": "infiltration", "Pneumonia": "consolidation"}
STORED = {True: 128, False: 288}     # longest side that the boxes of `more` and of `labels` are given in
CHOSEN_ON = 0                        # the fold, and its boxes, that the recipe was chosen on
EACH = 15                            # films a label in the lung test
PRIOR = 60                           # films a label in the map that is the same for every film
FRAME = (64, 64)                     # its grid over the crop
SIMULATED = 150                      # films in the test with a drawn shadow
DRAWS = 1000


def nets(work, labels):
    parts = {-1 if part == "final" else int(part): part for part in (*map(str, range(FOLDS)), "final")}
    return {k: saved(work, part, labels) for k, part in parts.items() if (Path(work) / f"radiograph-{part}.pth").exists()}


def content(shape, box):
    """Where a film's crop lies: (rows, columns, rows before, columns before) in the network's input, and x0, y0, x1, y1 in its pixels."""
    x0, y0, x1, y1 = crop = p.crop_pixels(box, shape)
    return p.letterbox_size((y1 - y0, x1 - x0), RECIPE["size"]), crop


@torch.inference_mode()
def maps_of(net, film, box):
    """Maps of one film on its crop, without the letterbox: L x rows x columns."""
    x = torch.from_numpy(p.prepare(film, RECIPE, box))[None, None].contiguous(memory_format=torch.channels_last)
    (nh, nw, top, left), _ = content(film.shape, box)
    return F.interpolate(net(x)[1], size=(SIZE, SIZE), mode="bilinear")[0, :, top:top + nh, left:left + nw].numpy()


def over_crop(image, box):
    """A picture of the film's own size, cut and scaled to the film's crop as the maps are."""
    (nh, nw, _, _), (x0, y0, x1, y1) = content(image.shape, box)
    return p.resample(image[y0:y1, x0:x1], (nh, nw))


def lung_mask(model, film):
    """Mask of the lungs on the film's own grid."""
    return p.resample(lungs.look(model, film).probability, film.shape) >= 0.5


def in_lungs(z, fold, made, model, j, rng):
    at = np.flatnonzero(z["more"] & (z["label"][:, j] == 1) & np.isin(fold, list(made)))
    at = rng.permutation(at)[:EACH]
    share, area = [], []
    for i in at:
        film, box = z["film"][i], z["box"][i]
        m, mask = np.maximum(maps_of(made[fold[i]], film, box)[j], 0), over_crop(lung_mask(model, film).astype(np.float32), box) >= 0.5
        if m.sum() > 0 and mask.any():
            share.append(m[mask].sum() / m.sum())
            area.append(mask.mean())
    return {"films": len(share), "mass_in_lungs": round(float(np.mean(share)), 3), "lung_share_of_crop": round(float(np.mean(area)), 3)} if share else None


def boxes(z, fold, made):
    """(film, name of the finding, label, box in shares of the film's longest side) of every box whose film a network has not seen."""
    for i in np.flatnonzero((z["boxes"] != "") & np.isin(fold, list(made))):
        scale = 1 / STORED[bool(z["more"][i])]
        for name, numbers in re.findall(r"(\w+):([\d. ]+)", str(z["boxes"][i])):
            label = BOX_NAMES.get(name, name.lower())
            if label in LABELS:
                yield i, name, label, [float(v) * scale for v in numbers.split()]


def box_mask(shape, crop_box, box):
    """1 inside `box` (x0, y0, x1, y1 in shares of the film's longest side), over the crop."""
    (nh, nw, _, _), (x0, y0, x1, y1) = content(shape, crop_box)
    y, x = (y0 + (np.arange(nh) + 0.5) / nh * (y1 - y0)) / max(shape), (x0 + (np.arange(nw) + 0.5) / nw * (x1 - x0)) / max(shape)
    return ((y >= box[1]) & (y < box[3]))[:, None] & ((x >= box[0]) & (x < box[2]))[None]


def priors(z, fold, made, rng):
    """{fold: L x FRAME}: the mean map of films with the label that the fold's network has not seen; boxed films are left out."""
    out = {}
    for k, net in made.items():
        out[k] = np.zeros((len(LABELS), *FRAME), np.float32)
        for j in range(len(LABELS)):
            at = np.flatnonzero((fold == k) & z["more"] & (z["label"][:, j] == 1) & (z["boxes"] == ""))
            shown = [p.resample(maps_of(net, z["film"][i], z["box"][i])[j], FRAME) for i in rng.permutation(at)[:PRIOR]]
            out[k][j] = np.mean(shown, 0) if shown else 0
    return out


def scored(z, fold, made, rng):
    """One row a box: what the film's own map and the map that is the same for every film say about it."""
    prior, rows = priors(z, fold, made, rng), []
    for i, name, label, box in boxes(z, fold, made):
        inside = box_mask(z["film"][i].shape, z["box"][i], box)
        if not inside.any() or inside.all():
            continue
        j, row = LABELS.index(label), {"patient": z["patient"][i], "fold": int(fold[i]), "name": name, "label": label, "chance": float(inside.mean())}
        for what, m in (("map", maps_of(made[fold[i]], z["film"][i], z["box"][i])[j]), ("prior", p.resample(prior[fold[i]][j], inside.shape))):
            row[what + "_hit"] = bool(inside.flat[m.argmax()])
            row[what + "_auroc"] = p.auroc(inside.ravel(), m.ravel())
        rows.append(row)
    return rows


def wilson(hits, n, z=1.96):
    """95 % interval of a share."""
    middle, half = (hits + z * z / 2) / (n + z * z), z / (n + z * z) * np.sqrt(hits * (n - hits) / n + z * z / 4)
    return [max(0.0, round(float(middle - half), 3)), min(1.0, round(float(middle + half), 3))]


def summary(rows):
    column = lambda k: np.array([r[k] for r in rows])
    patient, mean = column("patient"), lambda v: round(float(np.mean(v)), 3)
    spread = lambda v: p.interval(p.bootstrap(patient, lambda at: v[at].mean(), DRAWS))
    own, prior = column("map_auroc"), column("prior_auroc")
    return {"boxes": len(rows), "patients": len(set(patient)), "hits": int(column("map_hit").sum()), "accuracy": mean(column("map_hit")),
            "accuracy_95": wilson(column("map_hit").sum(), len(rows)), "chance": mean(column("chance")), "prior_accuracy": mean(column("prior_hit")),
            "excess_95": spread(column("map_hit") - column("chance")),
            "auroc": mean(own), "auroc_95": spread(own), "prior_auroc": mean(prior), "gain": mean(own - prior), "gain_95": spread(own - prior)}


def pointing(z, fold, made):
    """Does the map's highest point lie in the box (chance: the box's share of the crop), and how well does the map tell inside
    from outside (AUROC over the crop's pixels, chance 0.5)? Also for a map that is the same for every film."""
    rows = scored(z, fold, made, np.random.default_rng(0))
    names = sorted({r["name"] for r in rows})
    own = [r for r in rows if r["name"] != "Pneumonia"]
    fresh = [r for r in rows if r["fold"] != CHOSEN_ON]
    return {**summary(rows), "fresh": summary(fresh), "own_labels": summary(own), "of_box": {n: summary([r for r in rows if r["name"] == n]) for n in names}}


def opacity(shape, mask, rng):
    """A soft-edged round shadow somewhere on `mask`: (what it adds to the display values, where it is), rows x columns."""
    rows, columns = np.nonzero(mask)
    k, radius = rng.integers(len(rows)), rng.uniform(0.05, 0.08) * max(shape)
    far = np.hypot(np.arange(shape[0])[:, None] - rows[k], np.arange(shape[1])[None] - columns[k]) / radius
    return 0.3 / (1 + np.exp(8 * (far - 1))), far <= 1.5


def simulated(z, fold, made, model, rng, label="mass"):
    """A shadow drawn into the lungs of films without a finding: does the map point to it, and does the map change where the shadow is?

    Real boxes are few; this has no lack of films, but the shadow is ours: it says where the map looks, not how well it finds a mass.
    """
    j, rows = LABELS.index(label), []
    at = np.flatnonzero(z["more"] & (z["label"][:, 0] == 0) & np.isin(fold, list(made)) & (z["refusal"] == ""))
    for i in rng.permutation(at)[:SIMULATED]:
        film, box, net = z["film"][i], z["box"][i], made[fold[i]]
        shadow, where = opacity(film.shape, lung_mask(model, film), rng)
        inside = over_crop(where.astype(np.float32), box) >= 0.5
        before, after = (maps_of(net, np.clip(film + s, 0, 1).astype(np.float32), box)[j] for s in (0, shadow))
        change = after - before
        rows.append((inside.mean(), inside.flat[after.argmax()], p.auroc(inside.ravel(), after.ravel()),
                     inside.flat[change.argmax()], p.auroc(inside.ravel(), change.ravel())))
    columns = [np.array(c, float) for c in zip(*rows)]
    out = {k: round(float(c.mean()), 3) for k, c in zip(("chance", "hit", "auroc", "change_hit", "change_auroc"), columns)}
    return {"films": len(rows), **out, "hit_95": wilson(columns[1].sum(), len(rows)), "change_hit_95": wilson(columns[3].sum(), len(rows))}


def randomised(z, made):
    """Rank correlation of the shipped network's maps with those of the same network with random head, or all random."""
    torch.manual_seed(0)
    at = np.flatnonzero(z["more"])[::100]
    out = {}
    for name, parts in (("head", ("fc",)), ("last_stage_and_head", ("fc", "head", "blocks.10")), ("everything", ("",))):
        net = copy.deepcopy(made[-1])
        for k, w in net.named_parameters():
            if k.removeprefix("net.").startswith(parts) and w.dim() > 1:
                w.data = torch.randn_like(w) * w.std()
        rho = [spearmanr(a.ravel()[::97], b.ravel()[::97])[0] for i in at
               for a, b in [[maps_of(n, z["film"][i], z["box"][i]) for n in (made[-1], net)]]]
        out[name] = round(float(np.nanmean(np.abs(rho))), 3)
    return out


def report(z, fold, work, labels):
    made, model, rng = nets(work, labels), lungs.load(HERE.parent / "chest-lungs"), np.random.default_rng(0)
    return {"lungs": {l: in_lungs(z, fold, made, model, j, rng) for j, l in enumerate(LABELS)},
            "pointing": pointing(z, fold, made), "simulated": simulated(z, fold, made, model, rng), "randomised_weights_rank_correlation": randomised(z, made)}
