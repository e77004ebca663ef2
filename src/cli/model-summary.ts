/** @file What `acdit info` says of a model: parameters by part, and how pictures become tokens and blocks. */

import { printable } from '../io/printable.ts';
import { type AcditConfig, headSize, tokenCount, tokenSize } from '../models/acdit/config.ts';
import { parameterCount, parameters } from '../models/acdit/weights.ts';
import { writtenLabel } from '../runs/labels.ts';
import { bytesPerElement, type DType, elementCount } from '../tensor/tensor.ts';

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
    [
      'positions',
      `${config.positionSplit.length === 3 ? 'time, height, width' : 'height, width'} ${config.positionSplit.join(':')}`,
    ],
    ['parameters', `${grouped(summary.parameters)} (${stored})`],
  ];
  const head = rows.map(([key, value]) => `${key.padEnd(12)}${value}`);
  const parts = Object.entries(parametersByPart).map(([part, count]) => {
    const share = `${((100 * count) / summary.parameters).toFixed(1)}%`;
    return `  ${part.padEnd(20)}${grouped(count).padStart(13)}${share.padStart(8)}`;
  });
  return [name, ...head, ...parts].join('\n');
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

/** 1 layer, 2 layers. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** 1234567 as 1,234,567. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US');
}
