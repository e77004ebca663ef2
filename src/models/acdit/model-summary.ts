/** @file The size and layout of a model: parameters by part, and how images become tokens and blocks. */

import { bytesPerElement, type DType, elementCount } from '../../tensor/tensor.ts';
import { type AcditConfig, tokenCount, tokenSize } from './config.ts';
import { parameterCount, parameters } from './weights.ts';

/** First pattern that fits a parameter's name says to which part it belongs. */
const PARTS: readonly (readonly [part: string, pattern: RegExp])[] = [
  ['timestep embedding', /^t_embedder\./],
  ['label table', /^y_embedder\./],
  ['patch embedding', /^x_embedder\./],
  ['modulation (adaLN)', /adaLN_modulation/],
  ['attention', /\.attn\./],
  ['feed-forward', /\.mlp\./],
  ['norms', /\.norm/],
  ['output', /^final_layer\./],
];

/** Number of parameters of each part. */
export function parametersByPart(config: AcditConfig): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [name, shape] of parameters(config)) {
    const [part] = PARTS.find(([, pattern]) => pattern.test(name))!;
    counts[part] = (counts[part] ?? 0) + elementCount(shape);
  }
  return counts;
}

/** The size and layout of a model. */
export type ModelSummary = ReturnType<typeof summarizeModel>;

/** @param dtypeOf the element type of each stored parameter */
export function summarizeModel(name: string, config: AcditConfig, dtypeOf?: (parameter: string) => DType) {
  const stored = [...parameters(config)].map(([parameter, shape]) => ({
    count: elementCount(shape),
    dtype: dtypeOf?.(parameter) ?? ('float32' as const),
  }));
  return {
    name,
    config,
    /** Element types of the stored weights; none if only a size was named. */
    dtypes: dtypeOf ? [...new Set(stored.map(({ dtype }) => dtype))] : [],
    /** Bytes of the stored weights, or of float32 ones. */
    bytes: stored.reduce((sum, { count, dtype }) => sum + count * bytesPerElement(dtype), 0),
    parameters: parameterCount(config),
    parametersByPart: parametersByPart(config),
    tokens: tokenCount(config),
    tokenSize: tokenSize(config),
    /** Tokens down and across, of one frame. */
    grid: [config.height / config.patch, config.width / config.patch] as const,
  };
}
