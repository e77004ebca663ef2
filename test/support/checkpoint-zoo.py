"""Saves a model as people have it: by other trainers, wrappers, versions of PyTorch, and after accidents.
Usage: python3 checkpoint-zoo.py OFFICIAL.pt FOLDER. Writes expected.json: for each file that holds the whole model, a
checksum of its weights, as PyTorch reads them, in float32 and in the order of their names."""

import argparse, collections, datetime, enum, gzip, hashlib, json, pathlib, re, struct, sys, zipfile

import numpy as np
import torch

source, folder = sys.argv[1], pathlib.Path(sys.argv[2])
try:
    base = torch.load(source, weights_only=False)
except TypeError:  # PyTorch before 1.13
    base = torch.load(source)
model, args = base["model"], base["args"]
Ordered = collections.OrderedDict
expected = {}


def checksum(weights):
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(weights[name].detach().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(name, value, weights=model, **options):
    torch.save(value, folder / name, **options)
    if weights is not None:
        expected[name] = checksum(weights)


def renamed(rename):
    return Ordered((rename(name), value) for name, value in model.items())


def changed(change):
    return Ordered((name, change(name, value)) for name, value in model.items())


def in_blocks(wrapper):
    return lambda name: re.sub(r"^(blocks\.\d+\.)", rf"\1{wrapper}.", name)


save("plain.pt", base)

# Wrappers, which change names.
prefixes = dict(ddp="module.", compile="_orig_mod.", ddp_compile="module._orig_mod.", compile_ddp="_orig_mod.module.")
for name, prefix in prefixes.items():
    save(f"{name}.pt", dict(model=renamed(lambda key: prefix + key), args=args))
save("block_compile.pt", dict(model=renamed(in_blocks("_orig_mod")), args=args))
save("checkpoint_wrapper.pt", dict(model=renamed(in_blocks("_checkpoint_wrapped_module")), args=args))
fsdp = in_blocks("_fsdp_wrapped_module")
save("fsdp.pt", dict(model=renamed(lambda key: "_fsdp_wrapped_module." + fsdp(key)), args=args))

# Trainers, which put weights and arguments elsewhere.
save("dit.pt", dict(model=renamed(lambda key: "module." + key), ema=model, opt=dict(state={}, param_groups=[]), args=args))
save("ema_only.pt", dict(ema=model, args=args))
save("state_dict_key.pt", dict(state_dict=model, args=args))
lightning = renamed(lambda key: "model." + key)
save("lightning.ckpt", {"state_dict": lightning, "hyper_parameters": vars(args), "pytorch-lightning_version": "2.0"})
save("args_dict.pt", dict(model=model, args=vars(args)))
save("bare.pt", model)
save("no_args.pt", dict(model=model))
save("none_args.pt", dict(model=model, args=None))


class Color(enum.Enum):
    RED = 1


odd = argparse.Namespace(**vars(args))
odd.path, odd.dtype, odd.device = pathlib.PurePosixPath("/x/y"), torch.bfloat16, torch.device("cuda:0")
odd.int64, odd.float32, odd.date64 = np.int64(64), np.float32(1e-4), np.datetime64("2024-01-01")
odd.texts, odd.objects = np.array(["a"]), np.array([None], dtype=object)
odd.when, odd.color, odd.color_class, odd.span = datetime.datetime(2024, 1, 1), Color.RED, Color, range(3)
odd.complex, odd.complex64, odd.bytes, odd.tensor = 1 + 2j, np.complex64(1j), b"xx", torch.tensor(5)
odd.set, odd.frozenset, odd.size = {1, 2}, frozenset([1]), torch.Size([1, 2])
odd.state, odd.slice, odd.function = np.random.RandomState(0).get_state(), slice(1, 2), checksum
save("args_odd.pt", dict(model=model, args=odd))

# Tensors that lie in their storages in other ways, or are of other types.
save("parameters.pt", dict(model=changed(lambda _, value: torch.nn.Parameter(value)), args=args))
save("plain_dict.pt", dict(model=dict(model), args=args))
flat, views, offset = torch.cat([value.reshape(-1) for value in model.values()]), Ordered(), 0
for name, value in model.items():
    views[name] = flat[offset : offset + value.numel()].view(value.shape)
    offset += value.numel()
save("views.pt", dict(model=views, args=args))
save("transposed.pt", dict(model=changed(lambda _, v: v.t().contiguous().t() if v.dim() == 2 else v), args=args))


def strided(_, value):
    wide = torch.zeros(*value.shape, 2)
    wide[..., 0] = value
    return wide[..., 0]


save("strided.pt", dict(model=changed(strided), args=args))
for dtype in (torch.bfloat16, torch.float16, torch.float64):
    typed = changed(lambda _, value: value.to(dtype))
    save(f"{str(dtype)[6:]}.pt", dict(model=typed, args=args), typed)
mixed = changed(lambda name, value: value.half() if "mlp" in name else value)
save("mixed.pt", dict(model=mixed, args=args), mixed)
shared = Ordered(model)
shared["blocks.1.norm1.weight"] = shared["blocks.0.norm1.weight"]
save("shared.pt", dict(model=shared, args=args), shared)

# Formats.
for protocol in (2, 3, 4, 5):
    save(f"zip{protocol}.pt", base, pickle_protocol=protocol)
    save(f"legacy{protocol}.pt", base, pickle_protocol=protocol, _use_new_zipfile_serialization=False)


def rewritten(name, rename=lambda member: member, change=lambda content: content, compression=zipfile.ZIP_STORED, first=()):
    with zipfile.ZipFile(folder / "plain.pt") as before, zipfile.ZipFile(folder / name, "w", compression) as after:
        for directory in first:
            after.writestr(directory, "")
        for member in before.namelist():
            content = before.read(member)
            after.writestr(rename(member), change(content) if member.endswith("data.pkl") else content)
    expected[name] = expected["plain.pt"]


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


rewritten("cuda.pt", change=lambda pickle: pickle.replace(text(b"cpu"), text(b"cuda:0")))
rewritten("mps.pt", change=lambda pickle: pickle.replace(text(b"cpu"), text(b"mps:0")))
rewritten("compressed.pt", compression=zipfile.ZIP_DEFLATED)
rewritten("directories.pt", rename=lambda member: "archive/" + member.split("/", 1)[1], first=["archive/"])

# What is not the whole model.
extra = Ordered(model, pos_embed=torch.zeros(1, 64, 128))
extra["rope.freqs"] = torch.zeros(3)
save("extra.pt", dict(model=extra, args=args), None)
missing = Ordered((name, value) for name, value in model.items() if name != "blocks.1.mlp.fc2.bias")
save("missing.pt", dict(model=missing, args=args), None)
broken = Ordered(model, **{"blocks.0.attn.qkv.weight": model["blocks.0.attn.qkv.weight"].clone()})
broken["blocks.0.attn.qkv.weight"][0, 0] = float("nan")
save("nan.pt", dict(model=broken, args=args), None)
sparse = Ordered(model, **{"x_embedder.weight": model["x_embedder.weight"].to_sparse()})
save("sparse.pt", dict(model=sparse, args=args), None)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)


save("whole_module.pt", Model(), None)
plain = (folder / "plain.pt").read_bytes()
(folder / "empty.pt").write_bytes(b"")
(folder / "page.pt").write_text("<!DOCTYPE html><html><body>404</body></html>")
(folder / "pointer.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n")
(folder / "truncated.pt").write_bytes(plain[: len(plain) // 2])
(folder / "gzip.pt").write_bytes(gzip.compress(plain))
(folder / "expected.json").write_text(json.dumps(expected))
