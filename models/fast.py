"""TorchScript that plain libtorch runs fast on a CPU, and a plain traced file for other devices.

A trained network here is a chain of `network.Conv`: convolution, folded batch norm, maybe ReLU6. `pack` turns each into
one oneDNN primitive whose weights are packed once, when the file is loaded (`__setstate__`), and keeps activations
channels_last throughout. Only operators of libtorch_cpu are used; the packed file does not run on a GPU (`plain` does).
Do not freeze the packed file: packed weights cannot be constants.
"""
import copy
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Optional, Tuple, Union

import torch
import torch.nn as nn

import network


class Packed(torch.jit.ScriptModule):
    """One convolution with packed weights, optional ReLU6."""

    def __init__(self, w, b, stride, padding, groups, relu6, in_size):
        super().__init__()
        self.b = b
        self.meta: List[int] = [stride, padding, groups, int(relu6)] + list(in_size)
        self.stride: List[int] = [stride, stride]
        self.padding: List[int] = [padding, padding]
        self.dilation: List[int] = [1, 1]
        self.groups: int = groups
        self.relu6: bool = bool(relu6)
        self.w = torch.ops.mkldnn._reorder_convolution_weight(w, self.padding, self.stride, self.dilation, groups, list(in_size))

    @torch.jit.script_method
    def pack(self, w):
        # type: (Tensor) -> None
        self.w = torch.ops.mkldnn._reorder_convolution_weight(w, self.padding, self.stride, self.dilation, self.groups, self.meta[4:])

    @torch.jit.script_method
    def forward(self, x):
        # type: (Tensor) -> Tensor
        if self.relu6:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.w, self.b, self.padding, self.stride, self.dilation, self.groups,
                "hardtanh", torch.jit.annotate(List[Optional[Union[int, float, complex]]], [0.0, 6.0]), "")
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.w, self.b, self.padding, self.stride, self.dilation, self.groups, "none", [], "")

    @torch.jit.script_method
    def __getstate__(self):
        return (self.w.to_dense(), self.b, self.meta, self.training)

    @torch.jit.script_method
    def __setstate__(self, s):
        # type: (Tuple[Tensor, Tensor, List[int], bool]) -> None
        self.b = s[1]
        self.meta = s[2]
        self.training = s[3]
        self.stride = [self.meta[0], self.meta[0]]
        self.padding = [self.meta[1], self.meta[1]]
        self.dilation = [1, 1]
        self.groups = self.meta[2]
        self.relu6 = self.meta[3] != 0
        self.pack(s[0])


class Plain(nn.Module):
    """The same folded convolution in ordinary operators."""

    def __init__(self, w, b, stride, padding, groups, relu6):
        super().__init__()
        self.conv = nn.Conv2d(w.shape[1] * groups, w.shape[0], w.shape[2], stride, padding, groups=groups)
        self.conv.weight.data, self.conv.bias.data = w.contiguous(memory_format=torch.channels_last), b
        self.relu6 = relu6

    def forward(self, x):
        x = self.conv(x)
        return torch.nn.functional.relu6(x) if self.relu6 else x


class Grey(nn.Module):
    """float32 N x channels x H x W in, contiguous float32 out; channels_last between."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        # a 1-channel tensor is both layouts at once: the strides must say channels_last
        return tuple(t.contiguous() for t in self.net(x.contiguous(memory_format=torch.channels_last)))


def _replaced(net, example, make):
    net = copy.deepcopy(net).eval().requires_grad_(False)
    convs = [(n, m) for n, m in net.named_modules() if isinstance(m, network.Conv)]
    sizes, hooks = {}, []
    for name, m in convs:
        hooks.append(m.register_forward_hook(lambda _, a, __, name=name: sizes.__setitem__(name, tuple(a[0].shape))))
    net(example)
    for h in hooks:
        h.remove()
    for name, m in convs:
        parent, leaf = name.rpartition(".")[::2]
        w, b = (t.detach().clone() for t in m.folded())
        setattr(net.get_submodule(parent), leaf, make(w, b, m.conv.stride[0], m.conv.padding[0], m.conv.groups, m.act, sizes[name]))
    return net


@torch.no_grad()
def packed(net, example):
    return torch.jit.trace(Grey(_replaced(net, example, Packed)), example, check_trace=False)


@torch.no_grad()
def plain(net, example):
    """Ordinary traced and frozen TorchScript, for a GPU."""
    made = _replaced(net, example, lambda w, b, s, pad, g, act, _: Plain(w, b, s, pad, g, act))
    return torch.jit.freeze(torch.jit.trace(Grey(made).eval(), example, check_trace=False))


CHECK = """
import sys, torch
torch.set_num_threads(1)
m = torch.jit.load(sys.argv[1]); io = torch.load(sys.argv[2])
worst = 0.0
with torch.inference_mode():
    for _ in range(3):                      # profiling run, optimised run, steady state
        for x, y in io:
            for a, b in zip(m(x), y):
                off = ((a - b).abs().max() / b.abs().max()).item()
                worst = max(worst, off) if off == off else float("inf")            # NaN is no agreement
print(worst)
"""


def check(path, net, example):
    """max |difference| / max |reference| of the file, loaded in a fresh process, against the network, at batch 1, 2, 3."""
    io = []
    with torch.inference_mode():
        for b in (1, 2, 3):
            x = torch.randn(b, *example.shape[1:], generator=torch.Generator().manual_seed(b))
            io.append((x, [t.contiguous() for t in net.eval()(x)]))
    with tempfile.TemporaryDirectory() as d:
        torch.save(io, Path(d) / "io.pt")
        r = subprocess.run([sys.executable, "-c", CHECK, str(path), str(Path(d) / "io.pt")], capture_output=True, text=True)
    if r.returncode:
        raise RuntimeError(r.stderr[-2000:])
    return float(r.stdout.strip().splitlines()[-1])


def export(net, folder, size, channels=1):
    """weights.pt (packed) and weights.cuda.pt (plain) in `folder`, both checked."""
    example = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))
    for name, make in (("weights.pt", packed), ("weights.cuda.pt", plain)):
        path = Path(folder) / name
        make(net, example).save(str(path))
        worst = check(path, net, example)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, max |difference| / max |reference| {worst:.1e}")
        if worst > 2e-5:
            sys.exit(f"{path}: differs from the network")
