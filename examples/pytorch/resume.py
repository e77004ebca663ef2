"""Continues a training of `acdit train` in PyTorch, and saves it for acdit to continue in turn.

    acdit convert runs/mine mine.pt --training
    python3 resume.py mine.pt images.npz further.pt --steps 100
    acdit convert further.pt runs/further --training

images.npz holds what the model is trained on: `arr_0`, uint8 images (N, H, W, C), and `arr_1`, their labels (N), as in the
files of `acdit sample --npz`. A model of latents needs its latents instead, as float32, already scaled."""

import argparse
import inspect
import math

import numpy as np
import torch
import torch.nn.functional as F
from acdit import ACDiT

parser = argparse.ArgumentParser()
parser.add_argument("checkpoint")
parser.add_argument("images")
parser.add_argument("out")
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--ema", type=float, default=0.999)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

# The arguments are an argparse.Namespace, which PyTorch 2.6 and later read only if they trust the file.
trust = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
checkpoint = torch.load(options.checkpoint, **trust)
args = checkpoint["args"]
model = ACDiT(args, checkpoint["model"])
model.load_state_dict(checkpoint["model"])
average = ACDiT(args, checkpoint["ema"]).requires_grad_(False)
average.load_state_dict(checkpoint["ema"])
optimizer = torch.optim.AdamW(model.parameters())
optimizer.load_state_dict(checkpoint["opt"])  # with its learning rate, betas, epsilon and weight decay

archive = np.load(options.images)
images, labels = torch.from_numpy(archive["arr_0"]), torch.from_numpy(archive["arr_1"]).long()
if images.dtype == torch.uint8:
    images = images[..., : args.vae_latent_size] / 127.5 - 1  # a grey image has three equal channels


def tokens_of(images):
    """(N, H, W, C) to (N, T, B, token size): patches, channels varying fastest, in block order."""
    p = args.patch_size
    patches = images.unflatten(1, (-1, p)).unflatten(3, (-1, p)).transpose(2, 3).flatten(3)  # (N, rows, columns, p p C)
    if args.square_block:
        edge = math.isqrt(args.block_size)
        patches = patches.unflatten(1, (-1, edge)).unflatten(3, (-1, edge)).transpose(2, 3)
    return patches.reshape(len(images), args.ar_len, args.block_size, -1)


remaining = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
random = torch.Generator().manual_seed(options.seed + checkpoint["step"])
for step in range(checkpoint["step"] + 1, checkpoint["step"] + options.steps + 1):
    chosen = torch.randint(len(images), (options.batch,), generator=random)
    clean = tokens_of(images[chosen])
    timesteps = torch.randint(1000, clean.shape[:2], generator=random)
    noise = torch.randn(clean.shape, generator=random)
    level = remaining[timesteps][..., None, None]
    noised = level.sqrt() * clean + (1 - level).sqrt() * noise
    dropped = torch.rand(options.batch, generator=random) < 0.1
    classes = torch.where(dropped, torch.tensor(args.num_classes), labels[chosen])
    loss = F.mse_loss(model(clean, noised, timesteps, classes), noise)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        for kept, weight in zip(average.parameters(), model.parameters()):
            kept.lerp_(weight, 1 - options.ema)
    print(f"step {step}: loss {loss.item():.4f}", flush=True)

checkpoint.update(model=model.state_dict(), ema=average.state_dict(), opt=optimizer.state_dict(), step=step)
torch.save(checkpoint, options.out)
