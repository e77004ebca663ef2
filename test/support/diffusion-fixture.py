"""Makes test/fixtures/diffusion/predictions.npz with diffusers (0.31) and NumPy: noise schedules, prediction targets and
solver steps as others compute them. Usage: python test/support/diffusion-fixture.py"""

from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler

OUT = Path(__file__).parent.parent / "fixtures" / "diffusion" / "predictions.npz"
rng = np.random.default_rng(7)
clean, epsilon, output = (torch.from_numpy(rng.standard_normal(12).astype(np.float32)) for _ in range(3))
arrays = {"clean": clean, "epsilon": epsilon, "output": output}

cosine = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
arrays["cosine.alphas_cumprod"] = cosine.alphas_cumprod

# The noise-to-signal ratio of the linear schedule times 3.
linear = DDPMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02)
remaining = linear.alphas_cumprod.double()
ratio = 3 * torch.sqrt((1 - remaining) / remaining)
arrays["linear-shift-3.alphas_cumprod"] = 1 / (1 + ratio**2)

for timestep in (20, 500, 980):
    at = torch.tensor([timestep])
    noised = linear.add_noise(clean, epsilon, at)
    arrays[f"noised.{timestep}"] = noised
    arrays[f"v-target.{timestep}"] = linear.get_velocity(clean, epsilon, at)
    for name, kind in (("epsilon", "epsilon"), ("v", "v_prediction"), ("sample", "sample")):
        solver = DDIMScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02, prediction_type=kind,
                               clip_sample=False, set_alpha_to_one=True)
        solver.set_timesteps(50)
        step = solver.step(output, timestep, noised)
        arrays[f"ddim.{name}.{timestep}"] = step.prev_sample
        arrays[f"clean.{name}.{timestep}"] = step.pred_original_sample

for shift in (1, 3):
    flow = FlowMatchEulerDiscreteScheduler(shift=shift)
    arrays[f"flow-shift-{shift}.sigmas"] = flow.sigmas.flip(0)[-1000:]
    flow.set_timesteps(sigmas=np.array([1.0, 0.75, 0.5, 0.25]))
    x = epsilon
    for timestep in flow.timesteps:
        x = flow.step(output * x, timestep, x).prev_sample
    arrays[f"euler.{shift}"] = x

snr = remaining / (1 - remaining)
capped = torch.minimum(snr, torch.tensor(5.0, dtype=torch.float64))
# As diffusers' training scripts weigh the loss of each prediction (train_text_to_image.py, --snr_gamma).
for name, weight in (("epsilon", capped / snr), ("v", capped / (snr + 1)), ("sample", capped)):
    arrays[f"min-snr.{name}"] = weight / weight.mean()

OUT.parent.mkdir(exist_ok=True)
np.savez(OUT, **{name: value.numpy().astype(np.float32) for name, value in arrays.items()})
