"""Takes steps on given batches with PyTorch. Usage: torch-training.py EXAMPLES JSON CHECKPOINT FOLDER [fresh]. JSON is a list of steps,
each a list of micro-batches with clean, noised, target, timesteps and labels; after the first step, the training is saved into
FOLDER in several ways. Prints the loss of each step. With `fresh`, the moments and the step of the checkpoint are not used."""

import copy
import inspect
import json
import pathlib
import sys

import torch

examples, batches, path, folder, *fresh = sys.argv[1:]
sys.path.insert(0, examples)
from acdit import ACDiT

trust = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
checkpoint = torch.load(path, **trust)
args = checkpoint["args"]
model = ACDiT(args, checkpoint["model"])
model.load_state_dict(checkpoint["model"])
optimizer = torch.optim.AdamW(model.parameters())
optimizer.load_state_dict(dict(checkpoint["opt"], state={}) if fresh else checkpoint["opt"])
folder = pathlib.Path(folder)


def tensor(value):
    return torch.tensor(value["data"], dtype=torch.float32).view(value["shape"])


def save():
    whole = dict(checkpoint, model=model.state_dict(), opt=optimizer.state_dict())
    torch.save(whole, folder / "zip.pt")
    torch.save(whole, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    foreign = copy.deepcopy(whole)
    del foreign["args"].acdit_run, foreign["step"]
    foreign["optimizer_state_dict"] = foreign.pop("opt")
    for state in foreign["optimizer_state_dict"]["state"].values():
        state["step"] = int(state["step"])
    for group in foreign["optimizer_state_dict"]["param_groups"]:
        del group["param_names"]
        group.update(foreach=True, fused=True)
    foreign["model"] = {"module." + name: value for name, value in foreign["model"].items()}
    torch.save(foreign, folder / "foreign.pt")


losses = []
for step in json.load(open(batches)):
    optimizer.zero_grad()
    total = 0
    for batch in step:
        shape = batch["clean"]["shape"][:2]
        timesteps, labels = torch.tensor(batch["timesteps"]).view(shape), torch.tensor(batch["labels"])
        prediction = model(tensor(batch["clean"]), tensor(batch["noised"]), timesteps, labels)
        loss = torch.nn.functional.mse_loss(prediction, tensor(batch["target"])) / len(step)
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    losses.append(total)
    if len(losses) == 1 and not fresh:
        save()
print(json.dumps(losses))
