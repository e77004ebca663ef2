import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/checkpoints/load.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import type { Device } from '../../src/runtime/device.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { EMPTY_CACHE } from '../../src/sampling/cache.ts';
import { openNoisePredictor } from '../../src/sampling/noise-predictor.ts';
import { blockOf } from '../../src/sampling/request.ts';
import { createSampler, type SampleEvent } from '../../src/sampling/sampler.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { golden, relativeError } from '../support/golden.ts';

type Float = Tensor<'float32'>;

/** The CPU as if it had a memory of its own: steps are then one program each. */
const apart: Device = { ...openCpu(), separateMemory: true };

describe.each([
  ['image-tiny', 'segment by segment', openCpu()],
  ['video-tiny', 'segment by segment', openCpu()],
  ['image-tiny', 'in whole steps', apart],
  ['video-tiny', 'in whole steps', apart],
])('%s sampled %s, as the official code does', (name, _, device) => {
  it('reaches the official latents', async () => {
    const numbers = await openNpz(await openFile(golden(`${name}.npz`)));
    const { config, weights } = await loadModel(golden(`${name}.pt`));
    const sampler = await createSampler({ config, weights, device });
    const scalar = async (member: string): Promise<number> => Number((await numbers.read(member)).data[0]);
    const events: SampleEvent[] = [];
    const request = {
      labels: Array.from((await numbers.read('sample.labels')).data, Number),
      cfg: await scalar('sample.cfg'),
      steps: await scalar('sample.steps'),
      noise: (await numbers.read('sample.noise')) as Float,
    };
    for await (const event of sampler.sample(request)) events.push(event);
    const done = events[events.length - 1];
    expect(done.kind).toBe('done');
    expect(relativeError(done.latents, await numbers.read('sample.latents'))).toBeLessThan(1e-3);
    expect(events.filter(({ kind }) => kind === 'block')).toHaveLength(config.blocks);
    expect(events.filter(({ kind }) => kind === 'step')).toHaveLength(config.blocks * request.steps);
    await sampler.dispose();
    await numbers.close();
  });

  it('predicts the official noise at the first and last step of every block', async () => {
    const numbers = await openNpz(await openFile(golden(`${name}.npz`)));
    const { config, weights } = await loadModel(golden(`${name}.pt`));
    const predictor = await openNoisePredictor(device, config, weights);
    const labels = Array.from((await numbers.read('sample.labels')).data, Number);
    const timesteps = Array.from((await numbers.read('sample.timesteps')).data, Number);
    const latents = (await numbers.read('sample.latents')) as Float;
    let cache = EMPTY_CACHE;
    for (let block = 0; block < config.blocks; block++) {
      for (const [when, timestep] of [
        ['first', timesteps[0]],
        ['last', timesteps[timesteps.length - 1]],
      ] as const) {
        const x = (await numbers.read(`sample.block${block}.${when}.x`)) as Float;
        // The official batch is [conditional; unconditional], so each branch is run as samples of its own.
        const input = { ...x, shape: [labels.length, config.blockSize, x.shape[3]] };
        const expected = await numbers.read(`sample.block${block}.${when}.eps`);
        const half = expected.data.length / 2;
        for (const [branch, of] of [
          [0, (label: number) => label],
          [1, () => config.classes],
        ] as const) {
          const conditions = labels.map((label) => ({ timestep, label: of(label) }));
          const table = await predictor.modulations(conditions);
          const predicted = await predictor.denoise(input, conditions, table, cache);
          const part = {
            ...expected,
            data: expected.data.slice(branch * half, (branch + 1) * half),
          } as Tensor;
          expect(relativeError(predicted, part)).toBeLessThan(1e-4);
        }
      }
      cache = await predictor.append(blockOf(latents, block), cache);
    }
    await predictor.dispose();
    await numbers.close();
  });
});
