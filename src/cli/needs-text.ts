/** @file What a model needs as text. */

import type { ModelNeeds } from '../runs/model-needs.ts';
import type { SamplingMemory } from '../sampling/memory.ts';
import type { TrainingMemory } from '../training/memory.ts';

/** Returns the needs as lines. */
export function needsText({ batch, steps, macs, memory }: ModelNeeds): string {
  const rows: readonly (readonly [string, number, number?])[] = [
    ['all tokens in one pass', macs.sequence],
    ['step of the first block', macs.firstBlockStep.plain, macs.firstBlockStep.guided],
    ['step of the last block', macs.lastBlockStep.plain, macs.lastBlockStep.guided],
    [`sample of ${steps} steps per block`, macs.sample.plain, macs.sample.guided],
    ['training, of a sample', macs.training],
  ];
  const line = (name: string, values: readonly string[]): string =>
    `  ${name.padEnd(28)}${values.map((value) => value.padStart(13)).join('')}`;
  const counts = (macs: number): string[] => [large(macs), large(2 * macs)];
  const { sampling, sliding, training } = memory;
  return [
    line('arithmetic of one sample', ['MACs', 'FLOPs', 'guided: MACs', 'FLOPs']).slice(2),
    ...rows.map(([name, plain, guided]) =>
      line(name, [...counts(plain), ...(guided === undefined ? [] : counts(guided))]),
    ),
    `memory for ${batch} at a time, about`,
    memoryLine('to sample with guidance', sampling),
    ...(sliding ? [memoryLine('to continue over a window', sliding)] : []),
    memoryLine('to train', training.save),
    memoryLine('to train with "recompute"', training.recompute),
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
