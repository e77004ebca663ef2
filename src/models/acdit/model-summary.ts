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

export interface ModelSummary {
  readonly name: string;
  readonly config: AcditConfig;
  /** Element types of the stored weights; none if only a size was named. */
  readonly dtypes: readonly DType[];
  /** Bytes of the stored weights, or of float32 ones. */
  readonly bytes: number;
  readonly parameters: number;
  readonly parametersByPart: Readonly<Record<string, number>>;
  readonly tokens: number;
  readonly tokenSize: number;
  /** Tokens down and across, of one frame. */
  readonly grid: readonly [rows: number, columns: number];
}

/** @param dtypeOf the element type of each stored parameter */
export function summarizeModel(
  name: string,
  config: AcditConfig,
  dtypeOf?: (parameter: string) => DType,
): ModelSummary {
  const stored = [...parameters(config)].map(([parameter, shape]) => ({
    count: elementCount(shape),
    dtype: dtypeOf?.(parameter) ?? ('float32' as const),
  }));
  return {
    name,
    config,
    dtypes: dtypeOf ? [...new Set(stored.map(({ dtype }) => dtype))] : [],
    bytes: stored.reduce((sum, { count, dtype }) => sum + count * bytesPerElement(dtype), 0),
    parameters: parameterCount(config),
    parametersByPart: parametersByPart(config),
    tokens: tokenCount(config),
    tokenSize: tokenSize(config),
    grid: [config.height / config.patch, config.width / config.patch],
  };
}
