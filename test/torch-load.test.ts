/** @file Converted checkpoints as PyTorch sees them, where Debian's python3-torch is installed. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoints/load.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import type { AcditConfig } from '../src/models/acdit/config.ts';
import { toFloatType } from '../src/tensor/convert.ts';
import { tensorBytes } from '../src/tensor/tensor.ts';
import { runInProcess } from './support/cli.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { golden } from './support/golden.ts';
import { pythonWithTorch, runPython } from './support/python-torch.ts';
import { temporaryFolder } from './support/temporary-folder.ts';
import { tinyLatents, tinyPixels } from './support/tiny-model.ts';

/** What torch.load finds in checkpoints: types, arguments, and each tensor with a hash of its bytes. */
const INSPECT = `
import hashlib, json, sys, torch

def inspect(path):
  checkpoint = torch.load(path, map_location="cpu", weights_only=False)
  model, args = checkpoint["model"], checkpoint["args"]
  bits = lambda t: t.view(torch.int16) if t.dtype in (torch.float16, torch.bfloat16) else t
  return {
    "keys": list(checkpoint),
    "types": [type(checkpoint).__name__, type(model).__name__, type(args).__module__ + "." + type(args).__name__],
    "args": vars(args),
    "tensors": {
      name: [str(t.dtype), list(t.shape), t.requires_grad, t.is_contiguous(),
             hashlib.sha256(bits(t).numpy().tobytes()).hexdigest()]
      for name, t in model.items()
    },
  }

print(json.dumps([inspect(path) for path in sys.argv[1:]]))`;

interface Inspected {
  readonly keys: readonly string[];
  readonly types: readonly string[];
  readonly args: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, readonly [string, number[], boolean, boolean, string]>>;
}

const inspect = (...paths: string[]): Inspected[] => runPython(INSPECT, ...paths) as Inspected[];

async function convert(...args: string[]): Promise<void> {
  expect(await runInProcess(['convert', ...args, '--quiet'])).toMatchObject({ code: 0, stderr: '' });
}

describe.skipIf(pythonWithTorch === undefined)('torch.load of a converted checkpoint', () => {
  it('finds what the official trainer saved', async () => {
    const folder = temporaryFolder();
    await convert(golden('image-tiny.pt'), join(folder, 'model'));
    await convert(join(folder, 'model'), join(folder, 'model.pt'));
    const [official, ours] = inspect(golden('image-tiny.pt'), join(folder, 'model.pt'));
    expect(ours).toEqual({ ...official, args: { ...official.args, model: 'ACDiT-2x128' } });
    expect(ours.keys).toEqual(['model', 'args']);
    expect(ours.types).toEqual(['dict', 'OrderedDict', 'argparse.Namespace']);
  });

  it('finds every element type', async () => {
    const folder = temporaryFolder();
    const weights = formulaWeights(tinyLatents);
    await saveModel(join(folder, 'model'), tinyLatents, weights);
    const types = { fp32: 'float32', fp16: 'float16', bf16: 'bfloat16' } as const;
    const pathOf = (flag: string): string => join(folder, `${flag}.pt`);
    for (const flag of Object.keys(types)) {
      await convert(join(folder, 'model'), pathOf(flag), '--dtype', flag);
    }
    const found = inspect(...Object.keys(types).map(pathOf));
    for (const [i, dtype] of Object.values(types).entries()) {
      const expected = [...weights].map(([name, value]) => {
        const hash = createHash('sha256').update(tensorBytes(toFloatType(value, dtype)));
        return [name, [`torch.${dtype}`, value.shape, false, true, hash.digest('hex')]];
      });
      expect(Object.entries(found[i].tensors)).toEqual(expected);
    }
  });

  it('finds the configuration of a model that is not the official kind, and torch.save keeps it', async () => {
    const folder = temporaryFolder();
    const [ours, resaved] = [join(folder, 'ours.pt'), join(folder, 'resaved.pt')];
    const config: AcditConfig = { ...tinyPixels, classNames: ['Ä"\n', '', '日本'] };
    await saveModel(join(folder, 'model'), config, formulaWeights(config));
    await convert(join(folder, 'model'), ours);
    const { acdit_config } = runPython(
      'import json, sys, torch; x = torch.load(sys.argv[1]); torch.save(x, sys.argv[2]); print(json.dumps(vars(x["args"])))',
      ours,
      resaved,
    ) as Record<string, string>;
    expect(JSON.parse(acdit_config)).toEqual(config);
    const model = await openModel(resaved);
    expect(model.config).toEqual(config);
    await model.archive.close();
  });
});
