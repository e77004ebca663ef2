"""ACDiT in PyTorch (1.13 or later), with the parameter names and the order of parameters of the official code, so that it
loads what `acdit convert` writes. Plain attention: meant to be read, and to continue a training, rather than to be fast."""

import math

import torch
import torch.nn.functional as F
from torch import nn

FREQUENCIES = 256


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def modulate(x, shift, scale):
    return x * (1 + scale) + shift


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.q_norm = RMSNorm(hidden // heads)
        self.k_norm = RMSNorm(hidden // heads)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x, rope, mask):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = rotate(self.q_norm(q), rope), rotate(self.k_norm(k), rope)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~mask, -math.inf)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, hidden, inner):
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, hidden, heads, inner):
        super().__init__()
        self.norm1 = RMSNorm(hidden)
        self.attn = Attention(hidden, heads)
        self.norm2 = RMSNorm(hidden)
        self.mlp = Mlp(hidden, inner)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(self, x, condition, clean, rope, mask):
        """x: (N, S, C), `clean` tokens first; condition: (N, S - clean, C). A clean token has shift 0, scale 0 and gate 1."""
        parts = self.adaLN_modulation(condition).chunk(6, -1)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = (
            torch.cat((torch.full_like(x[:, :clean], 1.0 if i % 3 == 2 else 0.0), part), 1) for i, part in enumerate(parts)
        )
        x = x + gate * self.attn(modulate(self.norm1(x), shift, scale), rope, mask)
        return x + gate_mlp * self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))


class TimestepEmbedder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(FREQUENCIES, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, timesteps):
        half = FREQUENCIES // 2
        angles = timesteps.float()[..., None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        return self.mlp(torch.cat((angles.cos(), angles.sin()), -1))


class LabelEmbedder(nn.Module):
    def __init__(self, classes, hidden):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, hidden)  # the last one is "no class"

    def forward(self, labels):
        return self.embedding_table(labels)


class FinalLayer(nn.Module):
    def __init__(self, hidden, token):
        super().__init__()
        self.norm_final = RMSNorm(hidden)
        self.linear = nn.Linear(hidden, token)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, x, condition):
        return self.linear(modulate(self.norm_final(x), *self.adaLN_modulation(condition).chunk(2, -1)))


class ACDiT(nn.Module):
    """@param args the arguments in a checkpoint. @param weights its `model`, from whose shapes the sizes are read"""

    def __init__(self, args, weights):
        super().__init__()
        token, hidden = weights["final_layer.linear.weight"].shape
        heads = hidden // len(weights["blocks.0.attn.q_norm.weight"])
        inner = len(weights["blocks.0.mlp.fc1.weight"])
        layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        self.t_embedder = TimestepEmbedder(hidden)
        self.y_embedder = LabelEmbedder(args.num_classes, hidden)
        self.x_embedder = nn.Linear(token, hidden, bias=False)
        self.blocks = nn.ModuleList([Block(hidden, heads, inner) for _ in range(layers)])
        self.final_layer = FinalLayer(hidden, token)
        self.rope = rope_tables(args, hidden // heads)

    def forward(self, clean, noised, timesteps, labels):
        """The prediction for `noised` blocks (N, T, B, token size), each conditioned on the `clean` blocks before it.
        timesteps: (N, T); labels: (N), "no class" where a label is dropped."""
        samples, blocks, size, _ = clean.shape
        tokens = blocks * size
        x = self.x_embedder(torch.cat((clean.flatten(1, 2), noised.flatten(1, 2)), 1))
        condition = self.t_embedder(timesteps) + self.y_embedder(labels)[:, None]
        condition = condition.repeat_interleave(size, 1)
        rope = [torch.cat((table, table)) for table in self.rope]
        mask = skip_causal_mask(blocks, size)
        for block in self.blocks:
            x = block(x, condition, tokens, rope, mask)
        return self.final_layer(x[:, tokens:], condition).view_as(noised)


def skip_causal_mask(blocks, size):
    """(2 T B, 2 T B): a clean block sees clean blocks up to itself, a noised one the clean ones before it and itself."""
    at = torch.arange(2 * blocks * size)
    noised, block = at >= blocks * size, at // size % blocks
    earlier, same = block < block[:, None], block == block[:, None]
    return torch.where(noised[:, None], torch.where(noised, same, earlier), ~noised & (earlier | same))


def rotate(x, rope):
    cos, sin = rope
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def rope_tables(args, head):
    """Cosines and sines (T B, head size) of all tokens in block order; the angles are those of the official code."""
    side = args.image_size // args.vae_patch_pixels // args.patch_size
    video = args.num_frames > 1
    lengths = [args.num_frames, side, side] if video else [side, side]
    split = [int(part) for part in args.nd_split.split("_")] if args.nd_split else ([2, 3, 3] if video else [1, 1])
    ids = torch.stack(torch.meshgrid(*[torch.arange(length) for length in lengths], indexing="ij"), -1)
    if args.square_block:
        edge = math.isqrt(args.block_size)
        ids = ids.unflatten(0, (-1, edge)).unflatten(2, (-1, edge)).transpose(1, 2)
    ids = ids.reshape(-1, len(lengths))
    angles = []
    for axis, (length, share) in enumerate(zip(lengths, split)):
        dims = 2 * share * (head // 2 // sum(split))
        base = (int(8 * length / math.pi) // 100 + 1) * 100
        frequencies = base ** -torch.linspace(0, 1, dims // 2)
        angles += [ids[:, axis, None] * frequencies] * 2
    angles = torch.cat(angles, -1)
    return angles.cos(), angles.sin()
