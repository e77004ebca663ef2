/** The bundled video model. */
// @module-tag slow

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { readFrames } from '../src/media/video-reader.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import { runInProcess } from './support/cli.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

/** Pixels' worth of light, below which a frame is as good as empty. */
const LEAST_LIGHT = 5;

/** How far frames are moved over each other to be compared, in pixels. */
const REACH = 2;

const folder = join(import.meta.dirname, '../models/moving-fashion-mnist');

/** How bright the pixels of a frame are, from 0 at nearly black. */
const lightOf = (frame: Float32Array): Float32Array =>
  frame.map((value) => Math.max(0, (value + 1) / 2 - 0.1));

/** Where light lies on average, in pixels from the top left, and how much there is. */
function brightness(light: Float32Array, width: number): { x: number; y: number; sum: number } {
  const total = { x: 0, y: 0, sum: 0 };
  for (const [i, value] of light.entries()) {
    total.x += value * (i % width);
    total.y += value * Math.floor(i / width);
    total.sum += value;
  }
  return { x: total.x / total.sum, y: total.y / total.sum, sum: total.sum };
}

/** Correlation of light with other light, which is first moved to where it fits best. */
function likeness(light: Float32Array, other: Float32Array, width: number): number {
  let best = 0;
  for (let dy = -REACH; dy <= REACH; dy++) {
    for (let dx = -REACH; dx <= REACH; dx++) {
      const sums = { product: 0, first: 0, second: 0 };
      for (const [i, first] of light.entries()) {
        const [x, y] = [(i % width) + dx, Math.floor(i / width) + dy];
        const second = x < 0 || x >= width ? 0 : (other[y * width + x] ?? 0);
        sums.product += first * second;
        sums.first += first ** 2;
        sums.second += second ** 2;
      }
      best = Math.max(best, sums.product / Math.sqrt(sums.first * sums.second));
    }
  }
  return best;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

describe('the bundled video model', () => {
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

  it('moves an item on from block to block, and keeps its shape', async () => {
    const device = openCpu();
    const model = await loadModel(folder);
    const { frames, height, width, blocks, classes } = model.config;
    const sampler = await createSampler({ ...model, device });
    const labels = Array.from({ length: classes }, (_, label) => label);
    const latents = await finalLatents(sampler.sample({ labels, steps: 15, seed: 1 }));
    await device.dispose();
    const { data } = unpatchify(model.config, latents); // (N, F, 1, H, W)
    const size = height * width;
    const lights = Array.from({ length: labels.length * frames }, (_, i) =>
      lightOf(data.subarray(i * size, (i + 1) * size)),
    );
    const centres = lights.map((light) => brightness(light, width));
    const jumps = { within: [] as number[], between: [] as number[] };
    const alike: number[] = [];
    for (const [i, { x, y, sum }] of centres.entries()) {
      const before = centres[i - 1];
      if (i % frames === 0 || Math.min(sum, before.sum) < LEAST_LIGHT) continue;
      const kind = (i % frames) % (frames / blocks) === 0 ? 'between' : 'within';
      jumps[kind].push(Math.hypot(x - before.x, y - before.y));
      alike.push(likeness(lights[i]!, lights[i - 1]!, width));
    }
    const seen = centres.filter(({ sum }) => sum >= LEAST_LIGHT).length;
    expect(seen / centres.length).toBeGreaterThan(0.9);
    // Items move by half a pixel to one pixel a frame; blocks that knew nothing of each other would be some 7 apart.
    expect(median(jumps.within)).toBeLessThan(1.5);
    expect(median(jumps.between)).toBeLessThan(1.5);
    // Of real clips it is 1.
    expect(median(alike)).toBeGreaterThan(0.93);
  });
});
