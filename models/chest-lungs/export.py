"""Make the shipped files of `chest-lungs` from trained weights: weights.pt, weights.cuda.pt, golden/, digests in model.toml.

    python export.py --work DIR            # DIR holds lungs-final.pth of train.py
"""
import argparse
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import fast
import golden
import network
import package
from train import RECIPE


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--work", required=True)
    a = ap.parse_args()
    torch.set_num_threads(1)
    net = network.LungNet()
    net.load_state_dict(torch.load(f"{a.work}/lungs-final.pth"))
    fast.export(net.eval().to(memory_format=torch.channels_last), HERE, RECIPE["size"])
    golden.lungs_example(HERE)
    package.seal(HERE)


if __name__ == "__main__":
    main()
