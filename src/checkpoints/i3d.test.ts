import { describe, expect, it } from 'vitest';
import { formulaTensor } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { formulaArchive, i3dFormula, i3dStateDict } from '../../test/support/i3d-weights.ts';
import { CheckpointError } from '../errors.ts';

import { I3D_CONVOLUTIONS } from '../models/i3d/i3d.ts';
import { foldBatchNorm, weightShape } from '../models/network-layers.ts';
import { storedI3d } from './i3d.ts';

/** The name in the TorchScript file of one of VideoGPT's names. */
function scriptedName(name: string): string {
  return name
    .replace(/^[CM]/, (letter) => letter.toLowerCase())
    .replace('logits', 'conv3d_0c_1x1')
    .replace('.bn.', '.batch3d.')
    .replace('.b0.', '.branch_0.')
    .replace('.b3b.', '.branch_3.1.')
    .replace(/\.b([12])([ab])\./, (_, branch, letter) => `.branch_${branch}.${letter === 'a' ? 0 : 1}.`);
}

/** An archive of tensors under other names, which are those of the formula before. */
function renamed(rename: (name: string) => string, entries = [...i3dStateDict()]) {
  const back = new Map(entries.map(([name]) => [rename(name), name]));
  const shapes = new Map(entries.map(([name, shape]) => [rename(name), shape]));
  return formulaArchive(shapes, (name) => back.get(name)!);
}

/** Names as other programs might choose them: only order and shapes are left. */
function otherName(name: string): string {
  const [unit, end] = [/^(.*)(\.\w+\.\w+)$/.exec(name)!].flatMap(([, unit, end]) => [unit, end]);
  return `x.${I3D_CONVOLUTIONS.findIndex((layer) => layer.name === unit)}${end.replace('bn', 'norm')}`;
}

/** One convolution of every kind; reading all takes long. */
const SOME = ['Conv3d_2b_1x1', 'Mixed_3b.b0', 'Mixed_3b.b1a', 'Mixed_5b.b2b', 'Mixed_5c.b3b', 'logits'];
const some = I3D_CONVOLUTIONS.filter(({ name }) => SOME.includes(name));
const [plain] = some;

describe('the weights of I3D', () => {
  it.each<[string, (name: string) => string, number]>([
    ["VideoGPT's names", (name) => name, 1e-5],
    ['a prefix', (name) => `state_dict.module.${name}`, 1e-5],
    ['the names of the TorchScript file', scriptedName, 1e-3],
    ['order and shapes alone', otherName, 1e-3],
  ])('are found by %s', async (_, rename, epsilon) => {
    const stored = storedI3d(renamed(rename), 'f.pt');
    expect(stored.epsilon).toBe(epsilon);
    for (const layer of some) {
      const { weight, bias } = await stored.parameters(layer);
      const expected = i3dFormula(layer, epsilon);
      expect(relativeError(weight, expected.weight)).toBe(0);
      expect(relativeError(bias, expected.bias)).toBe(0);
    }
  });

  it('may be in any order if they have their names', async () => {
    const stored = storedI3d(
      renamed((name) => name, [...i3dStateDict()].reverse()),
      'f.pt',
    );
    for (const layer of some) {
      expect(relativeError((await stored.parameters(layer)).bias, i3dFormula(layer, 1e-5).bias)).toBe(0);
    }
  });

  it('may have norms without a scale, and another epsilon', async () => {
    const withoutScale = [...i3dStateDict()].filter(([name]) => !name.endsWith('.bn.weight'));
    const stored = storedI3d(
      renamed((name) => name, withoutScale),
      'f.pt',
      0.5,
    );
    expect(stored.epsilon).toBe(0.5);
    const norm = (part: string) => formulaTensor(`${plain.name}.bn.${part}`, [plain.outputs]).data;
    const expected = foldBatchNorm(formulaTensor(`${plain.name}.conv3d.weight`, [64, 64, 1, 1, 1]), {
      mean: norm('running_mean'),
      variance: norm('running_var'),
      shift: norm('bias'),
      epsilon: 0.5,
    });
    expect(relativeError((await stored.parameters(plain)).weight, expected.weight)).toBe(0);
  });

  it('may have norms folded in already', async () => {
    const folded = I3D_CONVOLUTIONS.flatMap((layer): [string, number[]][] => [
      [`${layer.name}.conv3d.weight`, weightShape(layer)],
      [`${layer.name}.conv3d.bias`, [layer.outputs]],
    ]);
    const archive = formulaArchive(new Map(folded));
    const { weight, bias } = await storedI3d(archive, 'f.pt').parameters(plain);
    expect(relativeError(weight, await archive.read(`${plain.name}.conv3d.weight`))).toBe(0);
    expect(relativeError(bias, await archive.read(`${plain.name}.conv3d.bias`))).toBe(0);
  });

  const changed = (change: (shapes: Map<string, readonly number[]>) => void) => {
    const shapes = i3dStateDict();
    change(shapes);
    return formulaArchive(shapes);
  };
  it.each<[string, (shapes: Map<string, readonly number[]>) => void, RegExp]>([
    [
      'a missing layer',
      (s) => s.delete('Mixed_4d.b1b.conv3d.weight'),
      /f.pt: is not the I3D .*: Mixed_4d.b1b is missing$/,
    ],
    [
      'another number of classes',
      (s) => s.set('logits.conv3d.weight', [600, 1024, 1, 1, 1]),
      /logits.conv3d.weight has shape \[600,1024,1,1,1\] instead of \[400,1024,1,1,1\]/,
    ],
    ['no norm', (s) => s.delete('Mixed_3b.b0.bn.running_var'), /Mixed_3b.b0 has no batch norm/],
    ['no bias', (s) => s.delete('logits.conv3d.bias'), /logits has no bias/],
    ['none of its layers', (s) => s.clear(), /Conv3d_1a_7x7 is missing; .*; and 55 more$/],
  ])('are refused with %s', (_, change, message) => {
    expect(() => storedI3d(changed(change), 'f.pt')).toThrow(CheckpointError);
    expect(() => storedI3d(changed(change), 'f.pt')).toThrow(message);
  });

  it('are refused with more layers than there are, where only their order identifies them', () => {
    const entries: [string, readonly number[]][] = [
      ...i3dStateDict(),
      ['more.conv3d.weight', [1, 1, 1, 1, 1]],
    ];
    expect(() => storedI3d(renamed(otherName, entries), 'f.pt')).toThrow(
      'there are 59 convolutions instead of 58',
    );
  });

  it('are refused where a norm has another size', async () => {
    const stored = storedI3d(
      changed((s) => s.set('Mixed_3b.b0.bn.running_mean', [63])),
      'f.pt',
    );
    const layer = some.find(({ name }) => name === 'Mixed_3b.b0')!;
    await expect(stored.parameters(layer)).rejects.toThrow(
      /f.pt: .*running_mean has 63 values instead of 64/,
    );
  });
});
