/** @file Checkpoints that PyTorch writes on the spot, where Debian's python3-torch is installed. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openModel } from '../src/checkpoints/load.ts';
import { isTorchTensor, openTorchCheckpoint, type TorchValue } from '../src/formats/torch/checkpoint.ts';
import { openFile } from '../src/io/file-source.ts';
import { toFloat32 } from '../src/tensor/convert.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { pythonWithTorch } from './support/python-torch.ts';
import { at } from './support/torch-value.ts';

const SCRIPT = fileURLToPath(new URL('support/torch-zoo.py', import.meta.url));

/** A tensor as the script describes it. */
interface Described {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

function numbers(value: Tensor): number[] {
  return Array.from(value.dtype.includes('float') ? widened(value) : value.data, Number);
}

function widened(value: Tensor): ArrayLike<number> {
  return value.dtype === 'float64' ? (value.data as Float64Array) : toFloat32(value).data;
}

async function described(value: TorchValue | undefined): Promise<Described> {
  if (!isTorchTensor(value)) throw new Error('no tensor');
  const tensor = await value.read();
  expect(tensor.dtype).toBe(value.dtype);
  return { dtype: tensor.dtype, shape: tensor.shape, values: numbers(tensor) };
}

describe.skipIf(pythonWithTorch === undefined)('checkpoints fresh from PyTorch', () => {
  let folder: string;
  let expected: {
    readonly model: Readonly<Record<string, Described>>;
    readonly moment: Described;
    readonly weight: Described;
    readonly rng: Described;
    readonly keys: readonly number[];
    readonly random: readonly number[];
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'acdit-torch-'));
    const { status, stderr } = spawnSync(pythonWithTorch!, [SCRIPT, folder], { encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const names = [2, 3, 4, 5].flatMap((protocol) => [`zip-${protocol}.pt`, `legacy-${protocol}.pt`]);

  it.each(names)('%s is read whole', async (name) => {
    const { value, close } = await openTorchCheckpoint(await openFile(join(folder, name)));
    const model = at(value, 'model');
    expect([...(model as Map<string, TorchValue>).keys()]).toEqual(Object.keys(expected.model));
    for (const [key, tensor] of Object.entries(expected.model)) {
      expect(await described(at(model, key)), key).toEqual(tensor);
    }
    expect(await described(at(value, 'opt', 'state', 0, 'exp_avg'))).toEqual(expected.moment);
    expect(await described(at(value, 'module', 'weight'))).toEqual(expected.weight);
    expect(await described(at(value, 'rng'))).toEqual(expected.rng);
    expect(at(value, 'opt', 'param_groups', 0, 'lr')).toBe(0.25);
    expect(at(value, 'args')).toMatchObject({
      attributes: new Map<string, TorchValue>([
        ['lr', 1e-4],
        ['out', '/runs/a'],
        ['device', 'cuda:1'],
        ['big', 2n ** 100n],
      ]),
    });
    expect(at(value, 'numpy', 'scalars')).toEqual([1.5, -0.5, 0.25, -7, 200, true]);
    const array = { dtype: 'uint16', shape: [2, 3], values: [0, 1, 2, 3, 4, 5] };
    expect(await described(at(value, 'numpy', 'array'))).toEqual(array);
    expect(await described(at(value, 'numpy', 'fortran'))).toEqual({ ...array, dtype: 'float64' });
    expect(await described(at(value, 'numpy', 'big_endian'))).toMatchObject({
      dtype: 'int32',
      values: [0, 1, 2],
    });
    expect(await described(at(value, 'numpy', 'empty'))).toMatchObject({ shape: [0, 2], values: [] });
    expect(await described(at(value, 'numpy', 'state', 1))).toMatchObject({ values: expected.keys });
    expect((at(value, 'python', 'random', 1) as number[]).slice(0, 5)).toEqual(expected.random);
    const { random: _, ...plain } = Object.fromEntries(at(value, 'python') as Map<string, TorchValue>);
    expect(plain).toEqual({
      set: [1],
      frozenset: [2],
      bytes: Uint8Array.of(0, 255),
      no_bytes: new Uint8Array(0),
      bytearray: Uint8Array.of(97, 98),
      counter: new Map([
        ['a', 2],
        ['b', 1],
      ]),
      defaultdict: new Map([['a', [1]]]),
      negative: -(2n ** 70n),
      floats: [Number.POSITIVE_INFINITY, -0, 1e300],
      text: 'né中',
      size: [2, 3],
      dtype: 'torch.bfloat16',
      layout: 'torch.strided',
      nested: [new Map([['a', [new Map([['b', [null, true]]])]]])],
    });
    await close();
  });

  it.each([
    ['complex.pt', /holds a tensor of torch.complex64, which is not supported/],
    ['sparse.pt', /expected a dict with 'model' and 'args' .*, got a dict with model/],
    [
      'module.pt',
      /got an object of the class torch.nn.modules.linear.Linear; save its state_dict\(\) instead/,
    ],
  ])('%s is refused as a model', async (name, message) => {
    await expect(openModel(join(folder, name))).rejects.toThrow(message);
  });
});
