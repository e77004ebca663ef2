// @module-tag slow

/** Attention through the commands: a recipe or a flag names it, and everything after that follows the model. */

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { at } from '../../src/at.ts';
import { linearNoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import { type AttentionSetting, attentionOf } from '../../src/models/acdit/attention.ts';
import { tokenSize, validateConfig } from '../../src/models/acdit/config.ts';
import { exportGraph } from '../../src/models/acdit/export-graph.ts';
import { isWeight, weightViews } from '../../src/models/acdit/weights.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { createBlockSteps } from '../../src/sampling/block-steps.ts';
import { blockOf, planSampling, stackBlocks, startingNoise } from '../../src/sampling/request.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { joinAxis, sliceAxis } from '../../src/tensor/axes.ts';
import { float32, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { expectBadInput, runInProcess } from '../support/cli.ts';
import { relativeError } from '../support/golden.ts';
import { writeIdxDataset } from '../support/idx-files.ts';
import { randomWeights } from '../support/random-weights.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyConfig } from '../support/tiny-config.ts';

let folder: string;
const inFolder = (...names: string[]): string => join(folder, ...names);
const configOf = (model: string) => JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));

beforeEach(() => {
  folder = temporaryFolder();
  writeIdxDataset(inFolder('data'), { count: 12, side: 8, classes: 3 });
  writeFileSync(
    inFolder('recipe.json'),
    JSON.stringify({
      model: { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 2, blocks: 4 },
      data: { path: inFolder('data'), imageSize: 8, channels: 1 },
      training: { steps: 3, batch: 4, schedule: 'constant' },
      output: { folder: inFolder('run'), sampleSteps: 2 },
    }),
  );
});

const train = (...args: string[]) =>
  runInProcess(['train', inFolder('recipe.json'), '--threads', '1', '--quiet', ...args]);
const odd = `export default (q, k) =>
  q.block === k.block ? q.clean === k.clean : k.clean && k.block < q.block && (q.block - k.block) % 2 === 1;`;

describe.each<[string, string, unknown, RegExp]>([
  [
    'a window',
    '{"window": 1, "sinks": 1}',
    { window: 1, sinks: 1 },
    /window of the last block and first block/,
  ],
  ['block-causal', 'block-causal', 'block-causal', /^attention +block-causal$/m],
  ['full', 'full', 'full', /^attention +full$/m],
  [
    'a module',
    'odd.mjs',
    { noised: ['1000', '1100', '0110', '1011'], clean: ['1000', '1100', '0110', '1011'] },
    /^attention +table of 4 blocks$/m,
  ],
])('attention of %s', (_, flag, setting, described) => {
  it('is trained, kept, described, sampled and exported, and refused by the official layout', async () => {
    const module = inFolder('odd.mjs');
    writeFileSync(module, odd);
    const value = flag === 'odd.mjs' ? module : flag;
    expect(await train('--model.attention', value)).toMatchObject({ code: 0, stderr: '' });
    const run = inFolder('run');
    expect(configOf(run).attention).toEqual(setting);
    // The module is not needed any more, and nothing names it.
    renameSync(module, inFolder('gone.mjs'));
    expect(readFileSync(join(run, 'config.json'), 'utf8')).not.toContain('odd');
    const info = await runInProcess(['info', run, '--plan', '--threads', '1']);
    expect(info.code).toBe(0);
    expect(info.stdout).toMatch(described);
    const out = inFolder('samples');
    const sampled = await runInProcess([
      'sample',
      run,
      '--labels',
      '0,2',
      '--steps',
      '2',
      '--out',
      out,
      '--quiet',
    ]);
    expect(sampled).toMatchObject({ code: 0, stderr: '' });
    expect(await runInProcess(['convert', run, inFolder('m.onnx'), '--quiet'])).toMatchObject({ code: 0 });
    const official = await runInProcess(['convert', run, inFolder('m.pt'), '--quiet']);
    expectBadInput(official, "official checkpoints cannot express this model's attention");
    expect(official.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(inFolder('m.pt'))).toBe(false);
    const copy = inFolder('copy');
    expect(await runInProcess(['convert', run, copy, '--quiet'])).toMatchObject({ code: 0 });
    expect(configOf(copy).attention).toEqual(setting);
  });
});

describe('a model of a stranger', () => {
  it('whose configuration names a module is refused in one line, and nothing runs', async () => {
    expect(await train()).toMatchObject({ code: 0 });
    const path = inFolder('run', 'config.json');
    const trap = inFolder('trap.mjs');
    writeFileSync(
      trap,
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(inFolder('ran'))}, '');`,
    );
    writeFileSync(path, JSON.stringify({ ...configOf(inFolder('run')), attention: trap }));
    for (const args of [
      ['info', inFolder('run')],
      ['sample', inFolder('run'), '--labels', '0', '--out', inFolder('samples')],
    ]) {
      const result = await runInProcess(args);
      expect(result.code).not.toBe(0);
      expect(result.stderr.trimEnd().split('\n')).toHaveLength(1);
      expect(result.stderr).toContain('a model holds the table of a module');
    }
    expect(existsSync(inFolder('ran'))).toBe(false);
  });

  it.each([
    ['missing.mjs', 'attention module missing.mjs: is not a file'],
    ['block-casual', "got 'block-casual'; did you mean block-causal?"],
    ['{"window": 0}', 'must have a window of 1 block or more, got 0'],
  ])('and a recipe with %s is bad input', async (value, message) => {
    expectBadInput(await train('--model.attention', value), message);
  });

  it('cannot resume a run with other attention', async () => {
    expect(await train('--model.attention', 'block-causal')).toMatchObject({ code: 0 });
    const other = await train('--model.attention', 'full', '--steps', '4');
    expectBadInput(other, 'model.attention was "block-causal" and is now "full"');
  });
});

describe('a model as ONNX', () => {
  const device = openCpu({ threads: 1 });
  afterAll(() => device.dispose());

  it.each<[AttentionSetting]>([
    ['skip-causal'],
    [{ window: 1, sinks: 1 }],
    ['block-causal'],
    ['full'],
    [{ noised: ['1000', '1100', '0110', '1011'], clean: ['1000', '0100', '0110', '1001'] }],
  ])('samples with attention %j as its guide describes', async (attention) => {
    const config = validateConfig({ ...tinyConfig(), attention });
    const weights = randomWeights(config);
    const graph = exportGraph(config);
    const program = await device.compile(graph);
    const names = program.inputNames.filter(isWeight);
    const bound = weightViews(weights, names);
    const plan = planSampling(config, { labels: [2], steps: 3, solver: 'ddim', cfg: 1, seed: 7 });
    const { together, copies, before: attended } = attentionOf(config);
    const noise = startingNoise(config, plan);
    const whole = config.blocks * config.blockSize;
    const perBlock: Record<string, Tensor<'float32'>>[] = [];
    const run = async (
      latents: Tensor<'float32'>,
      block: number,
      timestep: number,
      label: number,
      seen: readonly number[],
    ) => {
      const past = Object.fromEntries(
        Array.from({ length: config.layers }, (_, layer) =>
          (['key', 'value'] as const).map((kind) => {
            const parts = seen.map((number) => perBlock[number]![`present.${layer}.${kind}`]!);
            return [
              `past.${layer}.${kind}`,
              parts.length > 0 ? joinAxis(parts, 2) : zeros('float32', [1, 3, 0, 8]),
            ];
          }),
        ).flat(),
      );
      const int64 = (value: number) => tensor('int64', [1], BigInt64Array.of(BigInt(value)));
      return program.run({
        latents,
        timesteps: int64(timestep),
        labels: int64(label),
        block: int64(block),
        ...past,
        ...bound,
      });
    };
    const finished: Tensor<'float32'>[] = [];
    for (let block = 0; block < (together ? 1 : config.blocks); block++) {
      const { solver } = createBlockSteps(linearNoiseSchedule(), plan)(block);
      let latents = together
        ? float32([1, whole, tokenSize(config)], noise.data.slice())
        : blockOf(noise, block);
      let state = solver.initialState();
      for (const [index, timestep] of solver.timesteps.entries()) {
        const { noise: predicted } = await run(
          latents,
          block,
          timestep,
          2,
          attended({ block, clean: false }),
        );
        const next = solver.step(index, latents.data, (predicted as Tensor<'float32'>).data, state, {
          randn: () => new Float32Array(),
        });
        latents = float32(latents.shape, next.x);
        state = next.state;
      }
      finished.push(latents);
      const seen = attended({ block, clean: copies });
      const results = copies
        ? await run(latents, block, -1, -1, seen)
        : await run(latents, block, 0, 2, seen);
      // Each block's own keys and values are the last.
      perBlock.push(
        Object.fromEntries(
          Object.entries(results)
            .filter(([name]) => name !== 'noise')
            .map(([name, value]) => {
              const cached = at(value.shape, 2);
              return [name, sliceAxis(value as Tensor<'float32'>, 2, cached - config.blockSize, cached)];
            }),
        ),
      );
    }
    const sampler = await createSampler({ config, weights, device });
    const expected = await finalLatents(
      sampler.sample({ labels: [2], steps: 3, solver: 'ddim', cfg: 1, seed: 7 }),
    );
    const made = together ? float32(expected.shape, at(finished, 0).data) : stackBlocks(finished);
    expect(relativeError(made, expected)).toBeLessThan(1e-4);
    await sampler.dispose();
    await program.dispose();
  });
});
