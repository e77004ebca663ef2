/** @file What `acdit info` prints of a model: its size, its layout, and what it needs. */

import { describeGuidance } from '../diffusion/guidance.ts';
import { printable } from '../io/printable.ts';
import { counted, distinct, grouped } from '../io/quantities.ts';
import { describeAttention } from '../models/acdit/attention.ts';
import {
  type AcditConfig,
  defaultGuidance,
  diffusionSettings,
  headSize,
  noiseScheduleOf,
} from '../models/acdit/config.ts';
import type { ModelSummary } from '../models/acdit/model-summary.ts';
import type { ExpectedSpeed } from '../runs/expected-speed.ts';
import { writtenLabel } from '../runs/labels.ts';
import type { Macs, ModelNeeds } from '../runs/model-needs.ts';
import type { SamplingMemory } from '../sampling/memory.ts';
import type { TrainingMemory } from '../training/memory.ts';

/** The summary as lines. */
export function summaryText(summary: ModelSummary): string {
  const { name, config, dtypes, bytes, grid, parametersByPart } = summary;
  const { layers, hidden, heads, mlpRatio, frames, channels, height, width, patch, blocks, blockSize } =
    config;
  const megabytes = `${(bytes / 1e6).toFixed(1)} MB`;
  const stored = dtypes.length > 0 ? `${dtypes.join(' and ')}, ${megabytes}` : `${megabytes} as float32`;
  const clip = frames > 1 ? `${frames} frames of ` : '';
  const rows: [string, string][] = [
    ['generates', `${clip}${width} x ${height} ${config.space} of ${counted(channels, 'channel')}`],
    ['classes', classesText(config)],
    [
      'transformer',
      `${counted(layers, 'layer')}, hidden ${hidden}, ${counted(heads, 'head')} of ${headSize(config)}, feed-forward ${mlpRatio * hidden}`,
    ],
    [
      'tokens',
      `${summary.tokens} of ${summary.tokenSize} values: ${clip}${grid[1]} x ${grid[0]} patches of ${patch} x ${patch}`,
    ],
    ['blocks', `${blocks} of ${blockSize} tokens: ${blockText(config, grid)}`],
    ['positions', positionText(config)],
    ['attention', describeAttention(config.attention)],
    ['predicts', predictionText(config)],
    ['guidance', describeGuidance(defaultGuidance(config), noiseScheduleOf(config))],
    ['parameters', `${grouped(summary.parameters)} (${stored})`],
  ];
  const head = rows.map(([key, value]) => `${key.padEnd(12)}${value}`);
  const parts = Object.entries(parametersByPart).map(([part, count]) => {
    const share = `${((100 * count) / summary.parameters).toFixed(1)}%`;
    return `  ${part.padEnd(20)}${grouped(count).padStart(13)}${share.padStart(8)}`;
  });
  return [name, ...head, ...parts].join('\n');
}

function positionText({ positions = 'nd', positionSplit }: AcditConfig): string {
  if (positions === 'none') return 'none';
  if (positions === '1d') return 'place in the sequence';
  return `${positionSplit.length === 3 ? 'time, height, width' : 'height, width'} ${positionSplit.join(':')}`;
}

function predictionText(config: AcditConfig): string {
  const { prediction, noiseSchedule, noiseShift, contextNoise } = diffusionSettings(config);
  const shift = noiseShift === 1 ? '' : `, shifted by ${noiseShift}`;
  const context = contextNoise === 0 ? '' : `, context noised to timestep ${contextNoise}`;
  return `${prediction}, noise schedule ${noiseSchedule}${shift}${context}`;
}

function classesText({ classes, classNames }: AcditConfig): string {
  return classNames
    ? `${classes}: ${classNames
        .slice(0, 12)
        .map((name) => printable(writtenLabel(name)))
        .join(', ')}${classes > 12 ? ', ...' : ''}`
    : `${classes}`;
}

function blockText(
  { blockSize, squareBlocks }: AcditConfig,
  [rows, columns]: readonly [number, number],
): string {
  if (squareBlocks) return `squares of ${Math.sqrt(blockSize)} x ${Math.sqrt(blockSize)}`;
  const frames = blockSize / (rows * columns);
  return Number.isInteger(frames) ? `${counted(frames, 'frame')} each` : 'runs of tokens, row by row';
}

/** Returns the needs as lines. */
export function needsText({ batch, steps, passes, macs, fast, int8Share, memory }: ModelNeeds): string {
  const rows: readonly (readonly [string, number, number?])[] = [
    ['all tokens in one pass', macs.sequence],
    ['step of the first block', macs.firstBlockStep.plain, macs.firstBlockStep.guided],
    ['step of the last block', macs.lastBlockStep.plain, macs.lastBlockStep.guided],
    [`sample of ${steps} steps per block`, macs.sample.plain, macs.sample.guided],
    [`  own guidance, ${distinct(passes)} passes`, macs.sample.own],
    ...(fast ? [[`  preset fast, ${distinct(fast.passes)} passes`, fast.macs] as const] : []),
    ['training, of a sample', macs.training],
  ];
  const line = (name: string, values: readonly string[]): string =>
    `  ${name.padEnd(28)}${values.map((value) => value.padStart(13)).join('')}`;
  const counts = (macs: number): string[] => [large(macs), large(2 * macs)];
  const { sampling, int8, sliding, training } = memory;
  return [
    line('arithmetic of one sample', ['MACs', 'FLOPs', 'guided: MACs', 'FLOPs']).slice(2),
    ...rows.map(([name, plain, guided]) =>
      line(name, [...counts(plain), ...(guided === undefined ? [] : counts(guided))]),
    ),
    `with --precision int8, up to ${(100 * int8Share).toFixed(1)}% of a step's products with weights are in 8 bits (not those with outliers)`,
    `memory for ${batch} at a time, about`,
    memoryLine('to sample with guidance', sampling),
    memoryLine('  in 8 bits', int8),
    ...(sliding ? [memoryLine('to continue over a window', sliding)] : []),
    memoryLine('to train', training.save),
    memoryLine('to train with "recompute"', training.recompute),
  ].join('\n');
}

/** Returns as lines what the model would run on, and how long its multiply-adds take there. */
export function speedText(speed: ExpectedSpeed, steps: number): string {
  const both = ({ plain, guided }: Macs): number[] => [plain, guided];
  const { device, threads, precision, memory, availableMemory, macsPerSecond, seconds } = speed;
  const rows: [string, readonly number[]][] = [
    ['step of the first block', both(seconds.firstBlockStep)],
    ['step of the last block', both(seconds.lastBlockStep)],
    [`sample of ${steps} steps per block`, both(seconds.sample)],
    ...(seconds.fast === undefined ? [] : [['  preset fast', [seconds.fast]] as [string, number[]]]),
  ];
  const unchecked = device === 'cpu' && precision === 'fp32';
  const where = device === 'cpu' ? `cpu, ${counted(threads, 'thread')}` : device;
  const fits = memory === undefined || memory <= availableMemory ? '' : ' (it does not fit)';
  return [
    `on this machine it runs in ${precision} on ${where}${unchecked ? '' : ', if it passes the check when it is loaded'}`,
    ...(memory === undefined
      ? []
      : [`memory: about ${gigabytes(memory)} GB of ${gigabytes(availableMemory)} GB${fits}`]),
    `products as wide as the model's, measured now: ${large(2 * macsPerSecond.precision)}FLOP/s`,
    'time for its multiply-adds'.padEnd(30) + 'unguided'.padStart(13) + 'guided'.padStart(13),
    ...rows.map(
      ([name, times]) =>
        `  ${name.padEnd(28)}${times.map((value) => `${Number(value.toPrecision(2))} s`.padStart(13)).join('')}`,
    ),
    'norms, softmax and copies come on top: a few percent in large models, more in small ones',
  ].join('\n');
}

function memoryLine(what: string, { total, ...parts }: SamplingMemory | TrainingMemory): string {
  const listed = Object.entries(parts).map(([part, bytes]) => `${part} ${gigabytes(bytes)}`);
  return `  ${what.padEnd(28)}${`${gigabytes(total)} GB`.padStart(13)}  (${listed.join(', ')})`;
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(bytes < 10e9 ? 2 : 1);
}

/** Returns 524483296000 as 524.5 G. */
function large(count: number): string {
  const [size, unit] = count < 1e9 ? [1e6, 'M'] : count < 1e12 ? [1e9, 'G'] : [1e12, 'T'];
  return `${(count / size).toPrecision(4)} ${unit}`;
}
