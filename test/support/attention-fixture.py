"""Makes test/fixtures/attention/dense.npz with NumPy alone: the training loss of small models under attention predicates, each
as a dense mask over the whole sequence (every block clean and noised), in float64. Written from the paper and the official
code's description, without this package's code. Usage: python test/support/attention-fixture.py"""

from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "fixtures" / "attention" / "dense.npz"

IMAGE = dict(layers=2, hidden=24, heads=3, mlp=48, classes=3, blocks=4, block=4, size=4, split=[1, 1], grid=[4, 4], side=2)
VIDEO = dict(layers=2, hidden=64, heads=2, mlp=128, classes=3, blocks=4, block=8, size=4, split=[2, 3, 3], grid=[8, 2, 2],
             side=0)

# Each gets (block, is clean) of query and key.
PREDICATES = {
    "skip-causal": lambda i, qc, j, kc: (kc and (j <= i if qc else j < i)) or (not qc and not kc and i == j),
    "window-1": lambda i, qc, j, kc: (kc and (i == j if qc else False)) or (kc and j < i and j >= i - 1)
    or (not qc and not kc and i == j),
    "window-1-sinks-1": lambda i, qc, j, kc: (kc and qc and i == j) or (kc and j < i and (j >= i - 1 or j < 1))
    or (not qc and not kc and i == j),
    "window-2": lambda i, qc, j, kc: (kc and qc and i == j) or (kc and j < i and j >= i - 2)
    or (not qc and not kc and i == j),
    "block-causal": lambda i, qc, j, kc: not qc and not kc and j <= i,
    "full": lambda i, qc, j, kc: not qc and not kc,
    # Clean blocks attend themselves; noised ones the clean blocks at an odd distance.
    "odd": lambda i, qc, j, kc: (kc and qc and i == j) or (kc and not qc and j < i and (i - j) % 2 == 1)
    or (not qc and not kc and i == j),
    # No copies; noised blocks attend the one two before them.
    "second": lambda i, qc, j, kc: not qc and not kc and (j == i or j == i - 2),
}


def formula(name, shape):
    """Weights from a hash of their names, as test/support/formula-weights.ts describes them."""
    h = np.uint32(0x811C9DC5)
    with np.errstate(over="ignore"):
        for byte in name.encode():
            h = np.uint32(np.uint64(h ^ np.uint32(byte)) * np.uint64(0x01000193) & np.uint64(0xFFFFFFFF))
        x = (np.uint64(h) + np.arange(np.prod(shape), dtype=np.uint64) * np.uint64(0x9E3779B1)) & np.uint64(0xFFFFFFFF)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
        x ^= x >> np.uint64(16)
    if len(shape) >= 2:
        scale, offset = np.sqrt(3 / np.prod(shape[1:])), 0
    else:
        scale, offset = (0.2, 1) if name.endswith("weight") else (0.1, 0)
    return (((x / 2**32) * 2 - 1) * scale + offset).astype(np.float32).astype(np.float64).reshape(shape)


def shapes(m):
    c, mlp = m["hidden"], m["mlp"]
    out = {"x_embedder.weight": [c, m["size"]], "t_embedder.mlp.0.weight": [c, 256], "t_embedder.mlp.0.bias": [c],
           "t_embedder.mlp.2.weight": [c, c], "t_embedder.mlp.2.bias": [c],
           "y_embedder.embedding_table.weight": [m["classes"] + 1, c]}
    for i in range(m["layers"]):
        p = f"blocks.{i}."
        out |= {p + "norm1.weight": [c], p + "norm2.weight": [c], p + "attn.qkv.weight": [3 * c, c], p + "attn.qkv.bias": [3 * c],
                p + "attn.q_norm.weight": [c // m["heads"]], p + "attn.k_norm.weight": [c // m["heads"]],
                p + "attn.proj.weight": [c, c], p + "attn.proj.bias": [c], p + "mlp.fc1.weight": [mlp, c],
                p + "mlp.fc1.bias": [mlp], p + "mlp.fc2.weight": [c, mlp], p + "mlp.fc2.bias": [c],
                p + "adaLN_modulation.1.weight": [6 * c, c], p + "adaLN_modulation.1.bias": [6 * c]}
    f = "final_layer."
    return out | {f + "norm_final.weight": [c], f + "linear.weight": [m["size"], c], f + "linear.bias": [m["size"]],
                  f + "adaLN_modulation.1.weight": [2 * c, c], f + "adaLN_modulation.1.bias": [2 * c]}


def norm(x, weight):
    return x / np.sqrt(np.mean(x * x, -1, keepdims=True) + 1e-6) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def angles(m):
    """(tokens, head) in block order; the base is 100 for these lengths."""
    head = m["hidden"] // m["heads"]
    ids = np.stack(np.meshgrid(*[np.arange(n) for n in m["grid"]], indexing="ij"), -1)
    if m["side"]:
        s, (h, w) = m["side"], m["grid"]
        ids = ids.reshape(h // s, s, w // s, s, 2).transpose(0, 2, 1, 3, 4)
    ids = ids.reshape(-1, len(m["grid"]))
    out = []
    for axis, share in enumerate(m["split"]):
        dim = 2 * share * ((head // 2) // sum(m["split"]))
        inverse = 100.0 ** -(np.linspace(0, 1, dim // 2)) if dim > 2 else np.ones(1)
        out.append(np.tile(ids[:, axis, None] * inverse, 2))
    return np.concatenate(out, -1)


def rotate(x, a):
    half = x.shape[-1] // 2
    turned = np.concatenate([-x[..., half:], x[..., :half]], -1)
    return x * np.cos(a) + turned * np.sin(a)


def predict(m, w, sees, clean, noised, timesteps, labels):
    """Prediction (T, B, size) for one sample."""
    t, b, c, heads = m["blocks"], m["block"], m["hidden"], m["heads"]
    head = c // heads
    frequencies = np.exp(-np.log(10000) * np.arange(128) / 128)
    arguments = timesteps[:, None] * frequencies
    features = np.concatenate([np.cos(arguments), np.sin(arguments)], -1)
    wide = silu(features @ w["t_embedder.mlp.0.weight"].T + w["t_embedder.mlp.0.bias"])
    condition = silu(wide @ w["t_embedder.mlp.2.weight"].T + w["t_embedder.mlp.2.bias"]
                     + w["y_embedder.embedding_table.weight"][labels])
    blocks = [(i, True) for i in range(t)] + [(i, False) for i in range(t)]
    # A clean block that may see nothing sees itself: nobody looks at it.
    mask = np.array([[sees(*q, *k) or (q == k and q[1]) for k in blocks] for q in blocks])
    mask = np.repeat(np.repeat(mask, b, 0), b, 1)
    a = np.tile(angles(m), (2, 1))
    x = np.concatenate([clean, noised]).reshape(2 * t * b, -1) @ w["x_embedder.weight"].T

    def spread(vectors, count):
        """Modulations of each token: identity (shift 0, scale 0, gate 1) for clean ones."""
        parts = np.split(vectors, count, -1)
        identity = [0, 0, 1, 0, 0, 1][:count]
        return [np.concatenate([np.full((t * b, c), float(one)), np.repeat(part, b, 0)]) for one, part in zip(identity, parts)]

    for i in range(m["layers"]):
        p = f"blocks.{i}."
        mod = condition @ w[p + "adaLN_modulation.1.weight"].T + w[p + "adaLN_modulation.1.bias"]
        s1, k1, g1, s2, k2, g2 = spread(mod, 6)
        y = norm(x, w[p + "norm1.weight"]) * (1 + k1) + s1
        qkv = (y @ w[p + "attn.qkv.weight"].T + w[p + "attn.qkv.bias"]).reshape(-1, 3, heads, head)
        q = rotate(norm(qkv[:, 0], w[p + "attn.q_norm.weight"]).transpose(1, 0, 2), a)
        k = rotate(norm(qkv[:, 1], w[p + "attn.k_norm.weight"]).transpose(1, 0, 2), a)
        v = qkv[:, 2].transpose(1, 0, 2)
        scores = np.where(mask, q @ k.transpose(0, 2, 1) / np.sqrt(head), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out = (weights @ v).transpose(1, 0, 2).reshape(-1, c)
        x = x + g1 * (out @ w[p + "attn.proj.weight"].T + w[p + "attn.proj.bias"])
        y = norm(x, w[p + "norm2.weight"]) * (1 + k2) + s2
        y = gelu(y @ w[p + "mlp.fc1.weight"].T + w[p + "mlp.fc1.bias"])
        x = x + g2 * (y @ w[p + "mlp.fc2.weight"].T + w[p + "mlp.fc2.bias"])
    mod = condition @ w["final_layer.adaLN_modulation.1.weight"].T + w["final_layer.adaLN_modulation.1.bias"]
    shift, scale = (np.repeat(part, b, 0) for part in np.split(mod, 2, -1))
    y = norm(x[t * b:], w["final_layer.norm_final.weight"]) * (1 + scale) + shift
    return (y @ w["final_layer.linear.weight"].T + w["final_layer.linear.bias"]).reshape(t, b, -1)


def main():
    arrays = {}
    for kind, m in (("image", IMAGE), ("video", VIDEO)):
        rng = np.random.default_rng(3)
        shape = (2, m["blocks"], m["block"], m["size"])
        clean, noised, target = (rng.standard_normal(shape).astype(np.float32) for _ in range(3))
        timesteps = rng.integers(0, 1000, shape[:2])
        labels = np.array([1, m["classes"]])
        arrays |= {f"{kind}.clean": clean, f"{kind}.noised": noised, f"{kind}.target": target,
                   f"{kind}.timesteps": timesteps.astype(np.float32), f"{kind}.labels": labels.astype(np.float32)}
        weights = {name: formula(name, dims) for name, dims in shapes(m).items()}
        direction = {name: formula(name + ".direction", dims) for name, dims in shapes(m).items()}
        for name, sees in PREDICATES.items():

            def run(step):
                moved = {key: value + step * direction[key] for key, value in weights.items()}
                out = np.stack([predict(m, moved, sees, clean[n].astype(float), noised[n].astype(float), timesteps[n].astype(float),
                                        labels[n]) for n in range(2)])
                return out, np.mean((out - target) ** 2)

            prediction, loss = run(0)
            arrays[f"{kind}.{name}.prediction"] = prediction.astype(np.float32)
            arrays[f"{kind}.{name}.loss"] = np.array([loss])
            # The derivative along a direction of all weights, which the gradients must give.
            arrays[f"{kind}.{name}.slope"] = np.array([(run(1e-5)[1] - run(-1e-5)[1]) / 2e-5])
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT, **arrays)


main()
