"""Makes test/fixtures/tuning/constrained-least-squares.json with NumPy: the weights w with sum 1 that minimise
|target - sum_j w_j c_j|^2 + shrinkage sum_(j>0) |c_j - c_0|^2 (w_j - prior_j)^2, by the conditions of Karush, Kuhn and
Tucker with a multiplier for the sum. Usage: python test/support/constrained-least-squares.py"""

import json
from pathlib import Path

import numpy as np

OUT = Path(__file__).parent.parent / "fixtures" / "tuning" / "constrained-least-squares.json"
rng = np.random.default_rng(11)
cases = []
for count, shrinkage, prior in (
    (1, 0.0, [1.0]),
    (2, 0.0, [1.5, -0.5]),
    (3, 0.0, [1.4, -0.4]),
    (3, 0.3, [1.4, -0.4]),
    (4, 0.01, [1.6, -0.6]),
    (4, 1e6, [1.6, -0.6]),
):
    cleans = rng.standard_normal((count, 9)).astype(np.float32)
    target = rng.standard_normal(9).astype(np.float32)
    c = cleans.astype(np.float64)
    full = np.array(prior + [0.0] * (count - len(prior)))
    penalty = shrinkage * np.diag(((c - c[0]) ** 2).sum(axis=1))
    ones = np.ones((count, 1))
    system = np.block([[c @ c.T + penalty, ones], [ones.T, np.zeros((1, 1))]])
    right = np.concatenate([c @ target.astype(np.float64) + penalty @ full, [1.0]])
    weights = np.linalg.solve(system, right)[:count]
    cases.append(
        {
            "cleans": cleans.tolist(),
            "target": target.tolist(),
            "prior": prior,
            "shrinkage": shrinkage,
            "weights": weights.tolist(),
        }
    )
OUT.write_text(json.dumps(cases, indent=1) + "\n")
