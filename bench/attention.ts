/**
 * @file The cost of attention between blocks, counted and measured: forward and backward of a training step, and a sample with its
 * cache, for each kind of attention in turns, so that other load on the machine slows all of them equally.
 * Usage: npm run bench:attention -- [B|L|XL|H|tiny] [blocks: 4, 16, 64 or 256] [turns: 5] [solver steps per block: 4]
 * The model is the paper's image model of that size, with 1024 tokens in square blocks; of 4 blocks, a window of 2 with one sink
 * leaves nothing out. Samples are guided, so a step has two passes. Only the arithmetic that the method needs is counted:
 * products with the weights, and those of queries with the keys and values that they attend.
 */

import { linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import { type AttentionSetting, attentionOf, describeAttention } from '../src/models/acdit/attention.ts';
import {
  type AcditConfig,
  paperConfig,
  SIZE_NAMES,
  tokenCount,
  validateConfig,
} from '../src/models/acdit/config.ts';
import { sampleCost, trainingCost } from '../src/models/acdit/cost.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32 } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import { noiseBatch } from '../src/training/noising.ts';
import { zerosLike } from '../src/training/optimizer.ts';
import { formulaWeights } from '../test/support/formula-weights.ts';
import { median, time } from './matrix-speed.ts';
import { processor } from './processor.ts';

const ATTENTIONS: readonly AttentionSetting[] = [
  'skip-causal',
  'block-causal',
  { window: 2, sinks: 1 },
  'full',
];
const GUIDANCE = 1.5;
const BRANCHES = 2;

/** Something that is timed, and its multiply-adds as they are counted. */
interface Work {
  readonly name: string;
  readonly macs: number;
  run(): Promise<unknown>;
  dispose(): Promise<void>;
}

const size = process.argv[2] ?? 'B';
const [blocks, turns, steps] = [16, 5, 4].map((usual, i) => Number(process.argv[3 + i] ?? usual)) as [
  number,
  number,
  number,
];
const device = openCpu();
const shape = sized(size);
const weights = formulaWeights(shape);
console.log(processor());
console.log(
  `ACDiT-${size}, ${shape.layers} layers of ${shape.hidden}, ${blocks} blocks of ${shape.blockSize} tokens, ` +
    `${device.threads} threads, medians of ${turns} turns (fastest to slowest)`,
);
await compare('forward and backward of one image', openTraining);
await compare(`sample of ${steps} guided steps per block`, openSampling);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();

/** The paper's image model with other blocks; `tiny` is a small one, to try this program with. */
function sized(name: string): AcditConfig {
  const known = SIZE_NAMES.find((known) => known === name);
  if (known === undefined && name !== 'tiny')
    throw new Error(`the size must be ${SIZE_NAMES.join(', ')} or tiny, got ${name}`);
  const paper = paperConfig(known ?? 'B', 'image');
  const small = name === 'tiny' ? { layers: 2, hidden: 64, heads: 2 } : {};
  return validateConfig({ ...paper, ...small, blocks, blockSize: tokenCount(paper) / blocks });
}

/** Times all kinds of attention in turns, and prints how they compare with the first. */
async function compare(title: string, open: (config: AcditConfig) => Promise<Work>): Promise<void> {
  const works: Work[] = [];
  for (const attention of ATTENTIONS) works.push(await open({ ...shape, attention }));
  for (const { run } of works) await run();
  const times = works.map((): number[] => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, { run }] of works.entries()) times[i]!.push(await time(run));
  }
  console.log(`\n${title}`);
  console.log('| attention | multiply-adds | time | counted | measured |\n| --- | --- | --- | --- | --- |');
  for (const [i, { name, macs }] of works.entries()) {
    const [own, first] = [times[i]!, times[0]!];
    const range = `${shown(Math.min(...own))} to ${shown(Math.max(...own))}`;
    const counted = macs / works[0]!.macs;
    // In the same turn, both met the same load.
    const measured = median(own.map((milliseconds, turn) => milliseconds / first[turn]!));
    console.log(
      `| ${name} | ${(macs / 1e9).toPrecision(4)}e9 | ${shown(median(own))} s (${range}) | ${counted.toFixed(2)} | ${measured.toFixed(2)} |`,
    );
  }
  for (const work of works) await work.dispose();
}

function shown(milliseconds: number): string {
  return (milliseconds / 1000).toPrecision(3);
}

async function openTraining(config: AcditConfig): Promise<Work> {
  const gradients = zerosLike(weights);
  const pass = await compileGradientPass(device, config, 1, 'save');
  const tokens = [1, config.blocks, config.blockSize, config.channels];
  const clean = float32(tokens, new Generator(1).randn(elementCount(tokens)));
  const timestepPer = attentionOf(config).together ? 'sample' : 'block';
  const options = { labelDrop: 0.1, timestepPer } as const;
  const batch = noiseBatch(config, linearNoiseSchedule(), clean, [207], options, new Generator(2));
  return {
    name: describeAttention(config.attention),
    macs: trainingCost(config),
    run: () => pass.run(weights, batch, gradients),
    dispose: () => pass.dispose(),
  };
}

async function openSampling(config: AcditConfig): Promise<Work> {
  const sampler = await createSampler({ config, weights, device });
  const request = { labels: [207], steps, guidance: { scale: GUIDANCE }, seed: 1 };
  return {
    name: describeAttention(config.attention),
    macs: sampleCost(config, BRANCHES * steps, BRANCHES),
    run: () => finalLatents(sampler.sample(request)),
    dispose: () => sampler.dispose(),
  };
}
