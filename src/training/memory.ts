/** @file The memory that a training step takes, from the sizes of what it holds; checked against measured peaks. */

import type { AcditConfig } from '../models/acdit/config.ts';
import { parameterCount } from '../models/acdit/weights.ts';
import { elementCount } from '../tensor/tensor.ts';
import { gradientGraphs, type LayerGraphs, sequenceBlocks } from './gradient-graphs.ts';
import { type Activations, recomputedLayers } from './gradient-pass.ts';
import { layerShapes } from './pass-tensors.ts';

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
  const [one, two] = [growingParts(config, 1, activations), growingParts(config, 2, activations)];
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
  const { layers, blockSize, hidden, mlpRatio } = config;
  const graphs = gradientGraphs(config, samples);
  const kept = (layer: LayerGraphs): number => {
    const shapes = Object.values(layerShapes(layer, graphs.activation).kept);
    return shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  };
  const recomputed = recomputedLayers(activations, config).size;
  const keepingLayers = layers - 1 - recomputed + Math.min(1, recomputed); // those that are computed again share memory
  const vectors = samples * sequenceBlocks(config) * blockSize * hidden;
  const wide = mlpRatio * vectors;
  return {
    activations: FLOAT * (layers * vectors + keepingLayers * kept(graphs.layer) + kept(graphs.lastLayer)),
    work: FLOAT * (4 * vectors + 2 * wide + WORK_WIDE * wide),
  };
}

/** Tensors as wide as the feed-forward's inside that ONNX Runtime holds of its own in the largest program. */
const WORK_WIDE = 4;
