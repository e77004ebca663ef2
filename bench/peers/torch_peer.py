"""ACDiT's transformer in PyTorch, as one would write it: the same products as ours, fused attention, the usual layers.
Serves bench/peers.ts and bench/gpu.ts: for each line on standard input it runs one step and prints the seconds it took.
Usage: torch_peer.py step SIZE CACHED VARIANT, or torch_peer.py train SIZE VARIANT
VARIANT: float32, bf16, compiled, compiled-bf16, or int8 (dynamic, of the layers' products; only for step), on the CPU;
cuda-fp16: on an NVIDIA card, recorded as a CUDA graph (only for step)
"""

import os
import sys
import time

import torch
import torch.nn.functional as F

SIZES = {"B": (12, 768), "L": (24, 1024), "XL": (28, 1152), "H": (32, 1280)}  # layers, hidden size
HEAD = 64
BLOCK = 256  # tokens
BLOCKS = 4
BRANCHES = 2  # of guidance


def norm(x: torch.Tensor) -> torch.Tensor:
    return F.rms_norm(x, (x.shape[-1],), eps=1e-6)


class Layer(torch.nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.modulation = torch.nn.Linear(width, 6 * width, bias=False)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.up = torch.nn.Linear(width, 4 * width, bias=False)
        self.down = torch.nn.Linear(4 * width, width, bias=False)
        for weight in self.parameters():
            torch.nn.init.normal_(weight, std=0.02)

    def forward(self, x, condition, rope, attend):
        """x: (N, S, C); condition: (N, blocks, C), each for S / blocks tokens; attend: (q, k, v) -> (N, heads, S, 64)"""
        tokens = x.shape[1] // condition.shape[1]
        parts = self.modulation(F.silu(condition)).repeat_interleave(tokens, 1).chunk(6, -1)
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = parts
        hidden = norm(x) * (1 + scale) + shift
        q, k, v = self.qkv(hidden).unflatten(-1, (3, self.heads, HEAD)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = attend(rotate(norm(q), rope), rotate(norm(k), rope), v)
        x = x + gate * self.out(attended.transpose(1, 2).flatten(2))
        hidden = norm(x) * (1 + scale_mlp) + shift_mlp
        return x + gate_mlp * self.down(F.gelu(self.up(hidden), approximate="tanh"))


def rotate(x, rope):
    cos, sin = rope
    swapped = torch.cat((-x[..., HEAD // 2 :], x[..., : HEAD // 2]), -1)
    return x * cos + swapped * sin


def random(*shape: int, dtype=torch.float32) -> torch.Tensor:
    return (torch.randn(*shape) * 0.02).to(dtype)


def denoising_step(size: str, cached: int, variant: str):
    """One pass over a block in two guidance branches that attends `cached` tokens."""
    depth, width = SIZES[size]
    dtype = torch.bfloat16 if variant.endswith("bf16") else torch.float16 if variant == "cuda-fp16" else torch.float32
    if variant == "cuda-fp16":
        torch.set_default_device("cuda")
    layers = torch.nn.ModuleList([Layer(width) for _ in range(depth)]).to(dtype).eval()
    if variant == "int8":
        layers = torch.ao.quantization.quantize_dynamic(layers, {torch.nn.Linear}, dtype=torch.qint8)
    cache = [[random(BRANCHES, width // HEAD, cached, HEAD, dtype=dtype) for _ in range(2)] for _ in range(depth)]
    rope = (random(BLOCK, HEAD, dtype=dtype), random(BLOCK, HEAD, dtype=dtype))

    def forward(x, condition):
        for layer, (keys, values) in zip(layers, cache):

            def attend(q, k, v, keys=keys, values=values):
                if cached:
                    k, v = torch.cat((keys, k), 2), torch.cat((values, v), 2)
                return F.scaled_dot_product_attention(q, k, v)

            x = layer(x, condition, rope, attend)
        return x

    run = torch.compile(forward) if variant.startswith("compiled") else forward
    x, condition = random(BRANCHES, BLOCK, width, dtype=dtype), random(BRANCHES, 1, width, dtype=dtype)

    def step():
        with torch.inference_mode():
            run(x, condition)

    return recorded(step) if variant == "cuda-fp16" else step


def recorded(step):
    """The step as a CUDA graph; it returns when the card has finished."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):  # libraries set themselves up, which cannot be recorded
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay():
        graph.replay()
        torch.cuda.synchronize()

    return replay


def training_step(size: str, variant: str):
    """Forward and backward of one image under the SCAM, clipping, AdamW and moving average."""
    depth, width = SIZES[size]
    tokens = 2 * BLOCKS * BLOCK
    at = torch.arange(tokens)
    noised, block = at >= tokens // 2, (at % (tokens // 2)) // BLOCK
    earlier, same = block[None] < block[:, None], block[None] == block[:, None]
    mask = torch.where(noised[:, None], torch.where(noised, same, earlier), ~noised & (earlier | same))
    layers = torch.nn.ModuleList([Layer(width) for _ in range(depth)])
    rope = (random(tokens, HEAD), random(tokens, HEAD))
    attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=1e-4, weight_decay=0, betas=(0.9, 0.95), fused=True)
    weights = list(layers.parameters())
    average = [weight.detach().clone() for weight in weights]

    def loss(x, condition, target):
        for layer in layers:
            x = layer(x, condition, rope, attend)
        return F.mse_loss(x[:, tokens // 2 :], target)

    run = torch.compile(loss) if variant.startswith("compiled") else loss
    x, condition, target = random(1, tokens, width), random(1, 2 * BLOCKS, width), random(1, tokens // 2, width)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=variant.endswith("bf16")):
            value = run(x, condition, target)
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 1e-4)

    return step


def main() -> None:
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kind, size, *rest = sys.argv[1:]
    step = denoising_step(size, int(rest[0]), rest[1]) if kind == "step" else training_step(size, rest[0])
    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
