/** @file Weights as inputs of a graph, under names that the type checker knows. */

import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import type { AcditConfig } from './config.ts';
import {
  type EmbedderWeight,
  embedderShapes,
  type FinalWeight,
  finalShapes,
  type LayerWeight,
  layerWeightShapes,
} from './weights.ts';

/** Weights that embed timesteps, labels and tokens, by their official names. */
export type EmbedderSymbols = Readonly<Record<EmbedderWeight, SymbolicTensor>>;
/** Weights of a layer by their official names without the prefix, `attn.qkv` as `attn.query`, `attn.key` and `attn.value`. */
export type LayerSymbols = Readonly<Record<LayerWeight, SymbolicTensor>>;
/** Weights after the last layer, by their official names. */
export type FinalSymbols = Readonly<Record<FinalWeight, SymbolicTensor>>;

/** All weights of a model. */
export interface ModelSymbols {
  readonly embedder: EmbedderSymbols;
  readonly layers: readonly LayerSymbols[];
  readonly final: FinalSymbols;
}

/** Makes inputs for all weights of a model. */
export function modelInputs(config: AcditConfig): ModelSymbols {
  return {
    embedder: embedderInputs(config),
    layers: Array.from({ length: config.layers }, (_, layer) => layerInputs(config, `blocks.${layer}.`)),
    final: finalInputs(config),
  };
}

export function embedderInputs(config: AcditConfig): EmbedderSymbols {
  return inputsOfShapes(embedderShapes(config));
}

/** Makes inputs for the weights of one layer: any one, or with its `blocks.N.` as `prefix`. */
export function layerInputs(config: AcditConfig, prefix = ''): LayerSymbols {
  return inputsOfShapes(layerWeightShapes(config), prefix);
}

export function finalInputs(config: AcditConfig): FinalSymbols {
  return inputsOfShapes(finalShapes(config));
}

function inputsOfShapes<Name extends string>(
  shapes: Readonly<Record<Name, number[]>>,
  prefix = '',
): Record<Name, SymbolicTensor> {
  const entries = Object.entries<number[]>(shapes).map(([name, shape]) => [
    name,
    input(prefix + name, shape),
  ]);
  return Object.fromEntries(entries);
}
