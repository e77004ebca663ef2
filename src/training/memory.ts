/** @file The memory that a training step takes, from the sizes of what it holds; checked against measured peaks. */

import type { SymbolicTensor } from '../graph/symbolic.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameterCount } from '../models/acdit/weights.ts';
import { elementCount } from '../tensor/tensor.ts';
import { cleanBlocks, gradientGraphs, type LayerStages } from './gradient-graphs.ts';
import type { Activations } from './gradient-pass.ts';

/** Bytes at the peak, by what they are for. */
export interface TrainingMemory {
  /** Weights, their moving average, Adam's two moments, and gradients. */
  readonly state: number;
  /** What forward passes leave for backward passes. */
  readonly activations: number;
  /** What one layer at a time needs. */
  readonly work: number;
  /** Node, ONNX Runtime, and this package. */
  readonly program: number;
  readonly total: number;
}

const FLOAT = 4;
const PROGRAM = 250e6;
const STATES = 5;

/** Estimates the memory of a step on `samples` at a time. */
export function trainingMemory(
  config: AcditConfig,
  samples: number,
  activations: Activations,
): TrainingMemory {
  // Memory grows linearly with the samples, and the graphs of a huge batch would take memory themselves.
  const [one, two] = [1, 2].map((count) => growingParts(config, count, activations));
  const grown = (part: keyof typeof one): number => one[part] + (samples - 1) * (two[part] - one[part]);
  const parts = {
    state: FLOAT * STATES * parameterCount(config),
    activations: grown('activations'),
    work: grown('work'),
    program: PROGRAM,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

function growingParts(config: AcditConfig, samples: number, activations: Activations) {
  const { layers, blocks, blockSize, hidden } = config;
  const graphs = gradientGraphs(config, samples);
  const room = ({ widen, narrow }: LayerStages): number => {
    const wide = sizeOf(widen.forward.outputs.wide);
    const saved = [...widen.saved, ...narrow.saved].reduce((sum, tensor) => sum + sizeOf(tensor), 0);
    return wide * (1 + graphs.activation.saved.length) + sizeOf(widen.forward.outputs.gate) + saved;
  };
  const layersWithRoom = activations === 'save' ? layers - 1 : Math.min(1, layers - 1);
  const rows = samples * (cleanBlocks(config) + blocks) * blockSize;
  const stream = rows * hidden;
  const wide = sizeOf(graphs.layer.widen.forward.outputs.wide);
  return {
    activations: FLOAT * (layers * stream + layersWithRoom * room(graphs.layer) + room(graphs.lastLayer)),
    work: FLOAT * (4 * stream + 2 * wide + WORK_WIDE * wide),
  };
}

/** Tensors as wide as the feed-forward's inside that ONNX Runtime holds of its own in the largest program. */
const WORK_WIDE = 4;

function sizeOf({ shape }: SymbolicTensor): number {
  return elementCount(shape.map(Number));
}
