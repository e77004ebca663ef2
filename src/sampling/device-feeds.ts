/** @file What a pass on a device with memory of its own takes from the host: a value for each row, and each of its layers. */

import { at } from '../at.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { CLEAN_MODULATION, FINAL_MODULATIONS, LAYER_MODULATIONS } from '../models/acdit/weights.ts';
import { type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { rowCount, type Sequence } from './pass-engine.ts';

/** Tokens (rows, 1, B, token size): those of each sequence for each of its branches. */
export function tokenRows(config: AcditConfig, sequences: readonly Sequence[]): Tensor<'float32'> {
  const rows = sequences.reduce((sum, sequence) => sum + rowCount(sequence), 0);
  const tokens = zeros('float32', [rows, 1, config.blockSize, tokenSize(config)]);
  let start = 0;
  for (const sequence of sequences) {
    const { data, shape } = sequence.latents;
    for (let branch = 0; branch < rowCount(sequence) / at(shape, 0); branch++) {
      tokens.data.set(data, start);
      start += data.length;
    }
  }
  return tokens;
}

/** Which sample of the cache each row is of, and its modulations. */
export function rowFeeds({ layers, hidden }: AcditConfig, sequences: readonly Sequence[]) {
  const samples: number[] = [];
  const modulations: Float32Array[] = [];
  const final: Float32Array[] = [];
  const clean = Float32Array.from(CLEAN_MODULATION.flatMap((value) => Array<number>(hidden).fill(value)));
  const unchanged = new Float32Array(FINAL_MODULATIONS * hidden);
  let offset = 0;
  for (const sequence of sequences) {
    const { noised, finished, latents } = sequence;
    const conditioned = noised ?? finished;
    const count = at(latents.shape, 0);
    for (let row = 0; row < rowCount(sequence); row++) {
      samples.push(offset + (row % count));
      const valuesOf = (layer: number) => conditioned?.table.row(layer, at(conditioned.conditions, row));
      for (let layer = 0; layer < layers; layer++) modulations.push(valuesOf(layer) ?? clean);
      final.push(valuesOf(layers) ?? unchanged);
    }
    offset += count;
  }
  const rows = samples.length;
  return {
    samples: tensor('int32', [rows], Int32Array.from(samples)),
    modulations: joined([rows, layers, LAYER_MODULATIONS, hidden], modulations),
    finalModulation: joined([rows, 1, FINAL_MODULATIONS, hidden], final),
  };
}

function joined(shape: readonly number[], parts: readonly Float32Array[]): Tensor<'float32'> {
  const whole = zeros('float32', shape);
  let start = 0;
  for (const part of parts) {
    whole.data.set(part, start);
    start += part.length;
  }
  return whole;
}
