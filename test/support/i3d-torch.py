"""I3D in PyTorch, with formula weights (see formula-weights.ts) under the names of the two known weight files.
Usage: python3 i3d-torch.py save FOLDER        writes i3d_torchscript.pt (scripted) and i3d_pretrained_400.pt (state dict)
       python3 i3d-torch.py golden FILE.npz    writes clips and their logits"""

import collections, sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(2)


def formula(name, shape):
    h = 0x811C9DC5
    for byte in name.encode():
        h = (h ^ byte) * 0x01000193 & 0xFFFFFFFF
    x = (h + np.arange(np.prod(shape, dtype=np.int64), dtype=np.uint64) * 0x9E3779B1).astype(np.uint32)
    x = (x ^ x >> 16) * np.uint32(0x85EBCA6B)
    x = (x ^ x >> 13) * np.uint32(0xC2B2AE35)
    u = (x ^ x >> 16) / 2**32 * 2 - 1
    if name.endswith("running_var"):
        u = 1 + 0.5 * u
    elif len(shape) >= 2:
        u = u * np.sqrt(3 / np.prod(shape[1:]))
    else:
        u = 1 + 0.2 * u if name.endswith("weight") else 0.1 * u
    return torch.from_numpy(u.reshape(shape).astype(np.float32))


def same(x, kernel: int, stride: int, axis: int):
    """TensorFlow's SAME along one axis, counted from the last."""
    size = x.shape[-axis]
    pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return F.pad(x, [0, 0] * (axis - 1) + [pad // 2, pad - pad // 2])


class Unit(nn.Module):
    def __init__(self, inputs, outputs, kernel=1, stride=1, epsilon=1e-3):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.batch3d = nn.BatchNorm3d(outputs, epsilon)

    def forward(self, x):
        for axis in range(1, 4):
            x = same(x, self.kernel, self.stride, axis)
        return F.relu(self.batch3d(self.conv3d(x)))


class Pool(nn.Module):
    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride, self.pool = kernel, stride, nn.MaxPool3d(kernel, stride)

    def forward(self, x):
        for axis in range(1, 4):
            x = same(x, self.kernel[-axis], self.stride[-axis], axis)
        return self.pool(x)


class Mixed(nn.Module):
    def __init__(self, inputs, a, b, c, d, e, f, epsilon):
        super().__init__()
        unit = lambda *sizes: Unit(*sizes, epsilon=epsilon)
        self.branch_0 = unit(inputs, a)
        self.branch_1 = nn.Sequential(unit(inputs, b), unit(b, c, 3))
        self.branch_2 = nn.Sequential(unit(inputs, d), unit(d, e, 3))
        self.branch_3 = nn.Sequential(Pool((3, 3, 3), (1, 1, 1)), unit(inputs, f))

    def forward(self, x):
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], 1)


class Last(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, 1)

    def forward(self, x):
        return self.conv3d(x)


class I3D(nn.Module):
    def __init__(self, epsilon):
        super().__init__()
        mixed = lambda *sizes: Mixed(*sizes, epsilon=epsilon)
        self.conv3d_1a_7x7 = Unit(3, 64, 7, 2, epsilon)
        self.maxPool3d_2a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.conv3d_2b_1x1 = Unit(64, 64, epsilon=epsilon)
        self.conv3d_2c_3x3 = Unit(64, 192, 3, epsilon=epsilon)
        self.maxPool3d_3a_3x3 = Pool((1, 3, 3), (1, 2, 2))
        self.mixed_3b = mixed(192, 64, 96, 128, 16, 32, 32)
        self.mixed_3c = mixed(256, 128, 128, 192, 32, 96, 64)
        self.maxPool3d_4a_3x3 = Pool((3, 3, 3), (2, 2, 2))
        self.mixed_4b = mixed(480, 192, 96, 208, 16, 48, 64)
        self.mixed_4c = mixed(512, 160, 112, 224, 24, 64, 64)
        self.mixed_4d = mixed(512, 128, 128, 256, 24, 64, 64)
        self.mixed_4e = mixed(512, 112, 144, 288, 32, 64, 64)
        self.mixed_4f = mixed(528, 256, 160, 320, 32, 128, 128)
        self.maxPool3d_5a_2x2 = Pool((2, 2, 2), (2, 2, 2))
        self.mixed_5b = mixed(832, 256, 160, 320, 32, 128, 128)
        self.mixed_5c = mixed(832, 384, 192, 384, 48, 128, 128)
        self.avg_pool = nn.AvgPool3d((2, 7, 7), (1, 1, 1))
        self.conv3d_0c_1x1 = Last(1024, 400)

    def forward(self, x):
        x = self.maxPool3d_2a_3x3(self.conv3d_1a_7x7(x))
        x = self.maxPool3d_3a_3x3(self.conv3d_2c_3x3(self.conv3d_2b_1x1(x)))
        x = self.maxPool3d_4a_3x3(self.mixed_3c(self.mixed_3b(x)))
        x = self.mixed_4f(self.mixed_4e(self.mixed_4d(self.mixed_4c(self.mixed_4b(x)))))
        x = self.mixed_5c(self.mixed_5b(self.maxPool3d_5a_2x2(x)))
        x = self.conv3d_0c_1x1(self.avg_pool(x))
        return x.squeeze(4).squeeze(3).mean(2)


def state_dict_name(name):
    """From the names of the scripted module to those of the state dict."""
    name = name.replace("conv3d_0c_1x1", "logits").replace("batch3d", "bn")
    name = name.replace("branch_0", "b0").replace("branch_3.1", "b3b")
    for branch in "12":
        for index, letter in enumerate("ab"):
            name = name.replace(f"branch_{branch}.{index}", f"b{branch}{letter}")
    return name[0].upper() + name[1:] if name[0] in "cm" else name


def network(epsilon):
    net = I3D(epsilon).eval()
    for name, value in net.state_dict().items():
        if value.dim() > 0:
            value.copy_(formula(state_dict_name(name), tuple(value.shape)))
    return net


def clips_of(videos):
    """(N, T, H, W, 3) uint8 to (N, 3, T, 224, 224) in [-1, 1], as TATS does."""
    n, t = videos.shape[:2]
    frames = videos.float().flatten(end_dim=1).permute(0, 3, 1, 2)
    frames = F.interpolate(frames, size=(224, 224), mode="bilinear", align_corners=False)
    return 2 * frames.view(n, t, 3, 224, 224).transpose(1, 2).contiguous() / 255 - 1


def save(folder):
    net = network(1e-3)
    torch.jit.script(net).save(f"{folder}/i3d_torchscript.pt")
    named = [(state_dict_name(name), value) for name, value in net.state_dict().items() if value.dim() > 0]
    torch.save(collections.OrderedDict(named), f"{folder}/i3d_pretrained_400.pt")


@torch.no_grad()
def golden(path):
    torch.manual_seed(0)
    videos = torch.randint(0, 256, (2, 17, 12, 16, 3), dtype=torch.uint8)
    videos[1] //= 4
    arrays = dict(videos=videos.numpy())
    for epsilon, frame_counts in ((1e-3, (9, 10, 16, 17)), (1e-5, (16,))):
        net = network(epsilon)
        for frames in frame_counts:
            arrays[f"logits.{frames}.{epsilon}"] = net(clips_of(videos[:, :frames])).numpy()
    arrays["parameters"] = np.array(sum(value.numel() for value in net.parameters()))
    np.savez_compressed(path, **arrays)


{"save": save, "golden": golden}[sys.argv[1]](sys.argv[2])
