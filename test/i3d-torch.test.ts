/** @file Weight files of I3D that PyTorch writes on the spot, where Debian's python3-torch is installed. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openI3d } from '../src/checkpoints/i3d.ts';
import { I3D_CONVOLUTIONS } from '../src/models/i3d/i3d.ts';
import { relativeError } from './support/golden.ts';
import { i3dFormula } from './support/i3d-weights.ts';
import { pythonWithTorch } from './support/python-torch.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const SCRIPT = fileURLToPath(new URL('support/i3d-torch.py', import.meta.url));

describe.skipIf(pythonWithTorch === undefined)('weight files of I3D fresh from PyTorch', () => {
  it('are read: TorchScript and a state dict', { timeout: 120_000 }, async () => {
    const folder = temporaryFolder();
    execFileSync(pythonWithTorch!, [SCRIPT, 'save', folder]);
    for (const [file, epsilon] of [
      ['i3d_torchscript.pt', 1e-3],
      ['i3d_pretrained_400.pt', 1e-5],
    ] as const) {
      const stored = await openI3d(join(folder, file));
      expect(stored.epsilon).toBe(epsilon);
      for (const layer of I3D_CONVOLUTIONS) {
        const { weight, bias } = await stored.parameters(layer);
        const expected = i3dFormula(layer, epsilon);
        expect([relativeError(weight, expected.weight), relativeError(bias, expected.bias)]).toEqual([0, 0]);
      }
      await stored.close();
    }
  });
});
