"""Slices that a head model must find strange: other body parts, phantoms and noise of the DICOM corpus, as modality values.

`corpus` is the folder that holds `corpus/` and `series/` of the public test files; files that show the same slice count once.
"""
from pathlib import Path

import numpy as np
import pydicom

import volumes

# what it shows: files, or series (a folder), of the corpus
MR = {"shoulder": ["corpus/mr/mr2_j2k_lossy.dcm", "corpus/mr/mr_hitachi_signed_12bit.dcm"], "abdomen": ["corpus/mr/mr_adc_toshiba.dcm"],
      "prostate": ["corpus/mr/mr_philips_multiple_windows.dcm"], "knee": ["corpus/enhanced/mr_enh_knee_j2k_multifragment.dcm"],
      "wrist": ["series/mr_joint_wrist_coronal"], "parts of a spine and a neck": ["corpus/mr/mr_small.dcm", "corpus/enhanced/mr_enh_small.dcm"],
      "animal": ["corpus/enhanced/mr_enh_bruker.dcm"], "phantom": ["series/mr_enhanced_siemens_single"],
      "noise": ["corpus/enhanced/mr_enh_hyperfine.dcm", "series/mr_two_orientations"],
      "mosaic and phase image": ["corpus/mr/mr_12bit_dirty_bits_unsigned.dcm", "corpus/mr/mr_siemens_gre_phase.dcm"]}
CT = {"chest": ["series/ct_chest_lidc", "corpus/ct/ct1_rle_frags.dcm", "corpus/ct/ct_covid_chest_axial.dcm"],
      "abdomen": ["series/ct_abdomen_duplicates", "corpus/ct/ct_explicit_vr_un_j2k.dcm"], "neck and shoulders": ["corpus/ct/ctimage_deflated.dcm"],
      "spine": ["corpus/ct/ct_small.dcm"], "head below the brain": ["corpus/ct/ct_elscint_jpeg_lossless.dcm"],
      "perfusion map of a brain": ["corpus/enhanced/ct_enh_rle_no_bot.dcm"], "head phantom": ["series/ct_head_philips_tilt_localizer"],
      "noise": ["series/ct_head_siemens_tilt_missing"]}


def slices(corpus, wanted):
    """{what it shows: list of rows x columns}"""
    out = {}
    for what, paths in wanted.items():
        for path in (Path(corpus) / p for p in paths):
            found = volumes.series(path)[0] if path.is_dir() else volumes.modality(pydicom.dcmread(path))
            out.setdefault(what, []).extend(found if found.ndim == 3 else [found])
    return out


def figures(inside, found):
    """AUROC of strangeness: `inside` (slices of its own kind that the network did not see) against each kind of `found` and all of them."""
    import pipeline as p
    score = lambda other: round(p.auroc(np.r_[np.zeros(len(inside)), np.ones(len(other))], np.r_[inside, other]), 4)
    rows = {k: {"slices": len(v), "median": round(float(np.median(v)), 2), "auroc": score(v)} for k, v in found.items()}
    return {**rows, "all": {"slices": sum(map(len, found.values())), "auroc": score(np.concatenate(list(found.values())))}}
