"""Reads result objects with highdicom and pydicom and compares them with what the service says over its API.

   python readback.py DIR: objects in DIR/objects, sources in DIR/sources, what is wanted in DIR/expected.json, masks and
   heatmaps as raw files beside it. Prints a line for each check; exit status 1 when one fails."""
import json
import pathlib
import sys

import highdicom as hd
import numpy as np
import pydicom

pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
folder = pathlib.Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
sources = {d.SOPInstanceUID: d for d in (pydicom.dcmread(p) for p in sorted((folder / "sources").iterdir()))}
objects = [(p, pydicom.dcmread(p)) for p in sorted((folder / "objects").rglob("*.dcm"))]
failed = 0

PRESENCE = {"positive": "52101004", "negative": "272519000", "indeterminate": "373068000"}
SR, SEG, PM = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.30"
SC, PR, KO = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.88.59"


def check(name, right, info=""):
    global failed
    failed += not right
    print("ok  " if right else "FAIL", name, "" if right else info)


def of_class(uid):
    return [(p, d) for p, d in objects if d.SOPClassUID == uid]


def finding_of(tracking_uid):
    return next((f for f in expected["findings"] if f["uid"] == tracking_uid), None)


def walk_all():
    """Every value of every object has the form of its VR."""
    for path, dataset in objects:
        for element in dataset.iterall():
            element.value
        first = next(iter(sources.values()))
        for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
            check(f"{path.name} {keyword}", str(dataset.get(keyword, "")) == str(first.get(keyword, "")))


def groups_of(content):
    for read in (
        content.get_planar_roi_measurement_groups,
        content.get_volumetric_roi_measurement_groups,
        content.get_image_measurement_groups,
    ):
        yield from read()


def reports():
    seen = []
    for path, dataset in of_class(SR):
        content = hd.sr.Comprehensive3DSR.from_dataset(dataset).content
        for group in groups_of(content):
            finding = finding_of(group.tracking_uid)
            if finding is None:
                check(f"{path.name} tracking uid", False, group.tracking_uid)
                continue
            seen.append(finding["uid"])
            name = f"{path.name} {finding['label']}"
            measured = {m.name.value: float(m.value) for m in group.get_measurements()}
            probability = finding["probability"] * 100
            check(f"{name} code", group.finding_type.value == finding["code"]["value"], str(group.finding_type))
            check(f"{name} probability", abs(measured["122157"] - probability) <= probability * 5e-4, str(measured))
            presence = [e.value.value for e in group.get_qualitative_evaluations()]
            check(f"{name} presence", PRESENCE[finding["outcome"]] in presence, str(presence))
            volumes = [m["values"][0] for m in finding.get("measurements", []) if m["quantity"] == "volume" and m["part"] == 0]
            if "118565006" in measured:
                check(f"{name} volume", abs(measured["118565006"] - volumes[0]) <= volumes[0] * 1e-3, str(measured))
            if isinstance(group, hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations):
                on = group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                check(f"{name} lies on an image that was sent", on in sources)
                points = group.roi.value
                check(f"{name} line is closed", bool((points[0] == points[-1]).all()))
                region(name, finding, points, on)
            if isinstance(group, hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations):
                named = group.referenced_segment.referenced_sop_instance_uid
                check(f"{name} names its segmentation", any(d.SOPInstanceUID == named for _, d in of_class(SEG)))
    for finding in expected["findings"]:
        check(f"{finding['label']} is in a report", finding["uid"] in seen)


def region(name, finding, points, on):
    """The line encloses what the finding encloses: its mask on that slice, else its region."""
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    if finding["mask"]:
        plane = mask_of(finding)[finding["slices"].index(on)]
        inside = np.argwhere(plane)
        want = [*inside.min(axis=0)[::-1], *(inside.max(axis=0)[::-1] + 1)]
        check(f"{name} outline bounds the mask", bool((box[:2] >= want[:2]).all() and (box[2:] <= want[2:]).all()), f"{box} {want}")
        return
    want = [finding["region"][side] for side in ("left", "top", "right", "bottom")]
    check(f"{name} region", bool((box == want).all()), f"{box} {want}")


def mask_of(finding):
    return np.fromfile(folder / finding["mask"], np.uint8).reshape(finding["shape"]).astype(bool)


def segmentations():
    for path, _ in of_class(SEG):
        seg = hd.seg.segread(path)
        finding = finding_of(seg.SegmentSequence[0].TrackingUID)
        mask, slices = mask_of(finding), finding["slices"]
        pixels = seg.get_pixels_by_source_instance(slices, assert_missing_frames_are_empty=True)[..., 0].astype(bool)
        check(f"{path.name} is the mask, voxel by voxel", pixels.shape == mask.shape and bool((pixels == mask).all()))
        check(f"{path.name} has no empty frame", seg.NumberOfFrames == int(mask.any(axis=(1, 2)).sum()))
        for frame in seg.PerFrameFunctionalGroupsSequence:
            source = sources[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
            place = frame.PlanePositionSequence[0].ImagePositionPatient
            check(f"{path.name} place", [float(v) for v in place] == [float(v) for v in source.ImagePositionPatient])
        shared = seg.SharedFunctionalGroupsSequence[0]
        check(f"{path.name} spacing", list(map(float, shared.PixelMeasuresSequence[0].PixelSpacing)) == list(map(float, source.PixelSpacing)))
        check(f"{path.name} frame of reference", seg.FrameOfReferenceUID == source.get("FrameOfReferenceUID", seg.FrameOfReferenceUID))


def maps():
    for path, dataset in of_class(PM):
        frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(dataset.NumberOfFrames, dataset.Rows, dataset.Columns)
        hd.imread(path)
        for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            wanted = [
                np.fromfile(folder / heat["file"], "<f4").reshape(heat["rows"], heat["columns"])
                for finding in expected["findings"] for heat in finding["heatmaps"] if heat["source"] == source
            ]
            check(f"{path.name} frame {index + 1} is a heatmap of its source", any((frames[index] == want).all() for want in wanted))


def pictures():
    for path, dataset in of_class(SC):
        pixels = dataset.pixel_array
        check(f"{path.name} is in colour", pixels.ndim == 3 and bool((pixels[..., 0] != pixels[..., 2]).any()))
        check(f"{path.name} says that it is burnt in", dataset.BurnedInAnnotation == "YES")
        check(f"{path.name} names its source", dataset.SourceImageSequence[0].ReferencedSOPInstanceUID in sources)


def presentations_and_key_objects():
    for path, dataset in of_class(PR):
        named = {i.ReferencedSOPInstanceUID for s in dataset.ReferencedSeriesSequence for i in s.ReferencedImageSequence}
        drawn = {i.ReferencedSOPInstanceUID for a in dataset.GraphicAnnotationSequence for i in a.ReferencedImageSequence}
        check(f"{path.name} draws on what it names", drawn == named and named <= set(sources))
    for path, dataset in of_class(KO):
        hd.ko.KeyObjectSelectionDocument.from_dataset(dataset)
        flagged = {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in dataset.ContentSequence if i.ValueType == "IMAGE"}
        wanted = {s for f in expected["findings"] if f["outcome"] != "negative" for s in f["key_slices"]}
        check(f"{path.name} flags what shows findings", flagged == wanted, f"{flagged} {wanted}")


def reasons():
    """Each code of the report is in a document, as a code of our scheme."""
    said = set()
    for _, dataset in of_class(SR):
        for item in dataset.iterall():
            if item.keyword == "LongCodeValue" or item.keyword == "CodeValue":
                said.add(item.value)
    for code in expected["not_analysed"]:
        check(f"{code} is said", code in said)


walk_all()
reports()
segmentations()
maps()
pictures()
presentations_and_key_objects()
reasons()
for kind in expected["classes"]:
    check(f"there is an object of class {kind}", bool(of_class(kind)))
sys.exit(failed > 0)
