/** The bundled model of clips. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { readFrames } from '../src/media/video-reader.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { openCpu } from '../src/runtime/node.ts';
import { finalLatents } from '../src/sampling/final-latents.ts';
import { createSampler } from '../src/sampling/sampler.ts';
import { runInProcess } from './support/cli.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

/** Pixels' worth of light, below which a frame is as good as empty. */
const LEAST_LIGHT = 5;

const folder = join(import.meta.dirname, '../models/moving-fashion-mnist');

/** Where the brightness of a frame lies on average, in pixels from the top left, and how much there is. */
function brightness(frame: Float32Array, width: number): { x: number; y: number; sum: number } {
  const total = { x: 0, y: 0, sum: 0 };
  for (const [i, value] of frame.entries()) {
    const light = Math.max(0, (value + 1) / 2 - 0.1);
    total.x += light * (i % width);
    total.y += light * Math.floor(i / width);
    total.sum += light;
  }
  return { x: total.x / total.sum, y: total.y / total.sum, sum: total.sum };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

describe('the bundled model of clips', () => {
  it('is small', async () => {
    expect((await stat(join(folder, 'model.safetensors'))).size).toBeLessThan(15e6);
  });

  it('is what acdit sample --video takes', async () => {
    const out = temporaryFolder();
    const args = ['sample', '--video', '--labels', 'Sneaker', '--steps', '2', '--format', 'webp'];
    const { code, stdout } = await runInProcess([...args, '--out', out, '--json']);
    expect(code).toBe(0);
    const frames = [];
    for await (const frame of readFrames(JSON.parse(stdout).samples[0].file)) frames.push(frame);
    expect(frames).toHaveLength(16);
  });

  it('carries an item on from block to block', async () => {
    const device = openCpu();
    const model = await loadModel(folder);
    const { frames, height, width } = model.config;
    const sampler = await createSampler({ ...model, device });
    const labels = Array.from({ length: model.config.classes }, (_, label) => label);
    const jumps = { within: [] as number[], between: [] as number[] };
    const latents = await finalLatents(sampler.sample({ labels, steps: 15, seed: 1 }));
    const { data } = unpatchify(model.config, latents); // (N, F, 1, H, W)
    const size = height * width;
    const centres = Array.from({ length: labels.length * frames }, (_, i) =>
      brightness(data.subarray(i * size, (i + 1) * size), width),
    );
    for (const [i, { x, y, sum }] of centres.entries()) {
      const before = centres[i - 1];
      if (i % frames === 0 || Math.min(sum, before.sum) < LEAST_LIGHT) continue;
      const kind = (i % frames) % (frames / model.config.blocks) === 0 ? 'between' : 'within';
      jumps[kind].push(Math.hypot(x - before.x, y - before.y));
    }
    const seen = centres.filter(({ sum }) => sum >= LEAST_LIGHT).length;
    expect(seen / centres.length).toBeGreaterThan(0.9);
    await device.dispose();
    // Items move by 1 to 3 pixels a frame; blocks that knew nothing of each other would be some 7 apart.
    expect(median(jumps.within)).toBeLessThan(3);
    expect(median(jumps.between)).toBeLessThan(3.5);
  });
});
