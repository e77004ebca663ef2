// @module-tag slow

/** Attention predicates in training: losses, predictions and gradients are those of dense masked attention in NumPy. */

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openNpz } from '../src/formats/npz.ts';
import { openFile } from '../src/io/file-source.ts';
import type { AttentionSetting } from '../src/models/acdit/attention.ts';
import { type AcditConfig, validateConfig } from '../src/models/acdit/config.ts';
import { openCpu } from '../src/runtime/node.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { compileWholePass } from '../src/training/compile-gradient-pass.ts';
import { compileLayeredPass } from '../src/training/layered-pass.ts';
import { zerosLike } from '../src/training/optimizer.ts';
import { formulaTensor, formulaWeights } from './support/formula-weights.ts';
import { relativeError } from './support/golden.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

const device = openCpu({ threads: 1 });
const numbers = await openNpz(
  await openFile(fileURLToPath(new URL('./fixtures/attention/dense.npz', import.meta.url))),
);
afterAll(async () => {
  await device.dispose();
  await numbers.close();
});

const read = async (name: string): Promise<Tensor<'float32'>> =>
  (await numbers.read(name)) as Tensor<'float32'>;
const list = async (name: string): Promise<number[]> => Array.from((await numbers.read(name)).data, Number);

const SETTINGS: [string, AttentionSetting | undefined][] = [
  ['skip-causal', undefined],
  ['window-1', { window: 1 }],
  ['window-1-sinks-1', { window: 1, sinks: 1 }],
  ['window-2', { window: 2, sinks: 0 }],
  ['block-causal', 'block-causal'],
  ['full', 'full'],
  ['odd', { noised: ['1000', '1100', '0110', '1011'], clean: ['1000', '0100', '0010', '0001'] }],
  ['second', { noised: ['1000', '0100', '1010', '0101'] }],
];

describe.each([
  ['image', tinyConfig()],
  ['video', tinyClips],
] as const)('an %s model', (kind, base) => {
  describe.each(SETTINGS)('with attention %s', (name, attention) => {
    const config: AcditConfig = validateConfig(attention ? { ...base, attention } : base);

    it.each([
      ['layer by layer', compileLayeredPass],
      ['as one program', compileWholePass],
    ] as const)('trains %s as a dense mask does', async (_, compile) => {
      const batch = {
        clean: await read(`${kind}.clean`),
        noised: await read(`${kind}.noised`),
        target: await read(`${kind}.target`),
        timesteps: await list(`${kind}.timesteps`),
        labels: await list(`${kind}.labels`),
      };
      const pass = await compile(device, config, 2, 'save');
      const weights = formulaWeights(config);
      const gradients = zerosLike(weights);
      const { loss, prediction } = await pass.run(weights, batch, gradients);
      const [[expected], [slope]] = [await list(`${kind}.${name}.loss`), await list(`${kind}.${name}.slope`)];
      expect(Math.abs(loss - expected)).toBeLessThan(1e-5 * expected);
      expect(relativeError(prediction, await read(`${kind}.${name}.prediction`))).toBeLessThan(1e-5);
      let along = 0;
      for (const [key, { shape, data }] of gradients) {
        const direction = formulaTensor(`${key}.direction`, shape);
        along += data.reduce((sum, value, i) => sum + value * direction.data[i], 0);
      }
      expect(Math.abs(along - slope)).toBeLessThan(1e-4 * Math.abs(slope));
      await pass.dispose();
    });
  });
});
