"""Saves one checkpoint with all that torch.save writes, in both formats and protocols 2 to 5, and what is in it as JSON.
Usage: python3 torch-zoo.py FOLDER"""

import argparse, collections, json, pathlib, random, sys

import numpy as np
import torch

folder = pathlib.Path(sys.argv[1])
base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8 - 1

names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
tensors = {name: (base * 8).to(getattr(torch, name)) for name in names}
tensors.update(
    base=base,
    view=base[1:3],
    transposed=base.t(),
    strided=base[::2, 1::2],
    element=base[2, 3],
    repeated=torch.tensor([1.5, -2]).expand(3, 2),
    column=torch.tensor([[1.0], [2]]).expand(2, 3),
    overlapping=torch.arange(6.0).as_strided((3, 3), (1, 1)),
    permuted=torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    channels_last=torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
    empty=torch.zeros(0, 3),
    ones=torch.ones(1, 1, 2),
)

parameter = torch.nn.Parameter(base.clone())
marked = torch.nn.Parameter(base.clone())
marked.note = "a parameter with an attribute"
attributed = base.clone()
attributed.note = "a tensor with an attribute"
model = collections.OrderedDict(tensors, parameter=parameter, marked=marked, attributed=attributed)

linear = torch.nn.Linear(3, 2)
optimizer = torch.optim.AdamW(linear.parameters(), lr=np.float64(0.25))
linear(torch.ones(3)).sum().backward()
optimizer.step()

value = dict(
    model=model,
    module=linear.state_dict(),
    opt=optimizer.state_dict(),
    args=argparse.Namespace(lr=1e-4, out=pathlib.PurePosixPath("/runs/a"), device=torch.device("cuda", 1), big=2**100),
    numpy=dict(
        scalars=[np.float64(1.5), np.float32(-0.5), np.float16(0.25), np.int64(-7), np.uint8(200), np.bool_(True)],
        array=np.arange(6, dtype="u2").reshape(2, 3),
        fortran=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        big_endian=np.arange(3, dtype=">i4"),
        empty=np.zeros((0, 2)),
        state=np.random.RandomState(0).get_state(),
    ),
    python=dict(
        random=random.Random(0).getstate(),
        set={1},
        frozenset=frozenset([2]),
        bytes=b"\x00\xff",
        no_bytes=b"",
        bytearray=bytearray(b"ab"),
        counter=collections.Counter("aab"),
        defaultdict=collections.defaultdict(list, a=[1]),
        negative=-(2**70),
        floats=[float("inf"), -0.0, 1e300],
        text="né中",
        size=torch.Size([2, 3]),
        dtype=torch.bfloat16,
        layout=torch.strided,
        nested=[{"a": ({"b": [None, True]},)}],
    ),
    rng=torch.Generator().manual_seed(1).get_state(),
)

for protocol in range(2, 6):
    for zipped in (True, False):
        path = folder / f"{'zip' if zipped else 'legacy'}-{protocol}.pt"
        torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
torch.save({"model": {"c": torch.zeros(2, dtype=torch.complex64)}}, folder / "complex.pt")
torch.save({"model": torch.zeros(2).to_sparse()}, folder / "sparse.pt")
torch.save(linear, folder / "module.pt")

describe = lambda t: dict(dtype=str(t.dtype)[6:], shape=list(t.shape), values=t.detach().double().flatten().tolist())
expected = dict(
    model={name: describe(t) for name, t in model.items()},
    moment=describe(optimizer.state_dict()["state"][0]["exp_avg"]),
    weight=describe(linear.weight),
    rng=describe(value["rng"]),
    keys=value["numpy"]["state"][1].tolist(),
    random=value["python"]["random"][1][:5],
)
(folder / "expected.json").write_text(json.dumps(expected))
