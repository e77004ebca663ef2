/**
 * @file Streaming videos: the time to the first frames, as a share of the total, and the memory and time per block of a
 * video with many blocks and a sliding window.
 * Usage: npm run bench:stream -- [blocks of the long video]
 */

import { at } from '../src/at.ts';
import { type AcditConfig, validateConfig } from '../src/models/acdit/config.ts';
import { unpatchify } from '../src/models/acdit/layout.ts';
import { openCpu } from '../src/runtime/node.ts';
import { streamFrames } from '../src/sampling/frames.ts';
import { createSampler } from '../src/sampling/sampler.ts';
import { formulaWeights } from '../test/support/formula-weights.ts';
import { median } from './matrix-speed.ts';

const longest = Number(process.argv[2] ?? 200);

/** A clip of 16 frames of 32 x 32 grey pixels, 4 frames (256 tokens) per block. */
const config: AcditConfig = validateConfig({
  modelType: 'acdit',
  layers: 6,
  hidden: 384,
  heads: 6,
  mlpRatio: 4,
  classes: 10,
  space: 'pixels',
  channels: 1,
  frames: 16,
  height: 32,
  width: 32,
  patch: 4,
  blockSize: 256,
  blocks: 4,
  squareBlocks: false,
  positionSplit: [2, 3, 3],
});

const device = openCpu();
const sampler = await createSampler({ config, weights: formulaWeights(config), device });

/** Seconds at which each block's frames arrived, and the memory then. */
async function stream(blocks: number, steps: number): Promise<{ seconds: number[]; megabytes: number[] }> {
  const started = performance.now();
  const seconds: number[] = [];
  const megabytes: number[] = [];
  const events = sampler.sample({ labels: [3], steps, cfg: 2, blocks });
  for await (const event of streamFrames(config, events, async (tokens) => unpatchify(config, tokens))) {
    if (event.kind !== 'frames') continue;
    seconds.push((performance.now() - started) / 1000);
    megabytes.push(process.memoryUsage.rss() / 1e6);
  }
  return { seconds, megabytes };
}

await stream(config.blocks, 2);
const shares: number[] = [];
for (let i = 0; i < 3; i++) {
  const { seconds } = await stream(config.blocks, 25);
  shares.push(at(seconds, 0) / at(seconds, -1));
}
console.log(
  `first frames after ${(median(shares) * 100).toFixed(0)}% of the time of ${config.blocks} blocks ` +
    `(an equal share would be ${(100 / config.blocks).toFixed(0)}%)`,
);

const { seconds, megabytes } = await stream(longest, 5);
const half = Math.floor(longest / 2);
const paceOf = (from: number, to: number): string =>
  (((at(seconds, to) - at(seconds, from)) / (to - from)) * 1000).toFixed(0);
console.log(
  `${longest} blocks: ${paceOf(config.blocks, half)} ms per block in the first half, ${paceOf(half, longest - 1)} in the second; ` +
    `memory ${[config.blocks, half, longest - 1].map((block) => `${at(megabytes, block).toFixed(0)} MB at block ${block}`).join(', ')}`,
);
await sampler.dispose();
await device.dispose();
