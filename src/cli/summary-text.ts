/** @file What `acdit info` prints of a model's size and layout. */

import { printable } from '../io/printable.ts';
import { counted, grouped } from '../io/quantities.ts';
import { type AcditConfig, diffusionSettings, headSize } from '../models/acdit/config.ts';
import type { ModelSummary } from '../models/acdit/model-summary.ts';
import { writtenLabel } from '../runs/labels.ts';

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
    ['predicts', predictionText(config)],
    ['parameters', `${grouped(summary.parameters)} (${stored})`],
  ];
  const head = rows.map(([key, value]) => `${key.padEnd(12)}${value}`);
  const parts = Object.entries(parametersByPart).map(([part, count]) => {
    const share = `${((100 * count) / summary.parameters).toFixed(1)}%`;
    return `  ${part.padEnd(20)}${grouped(count).padStart(13)}${share.padStart(8)}`;
  });
  return [name, ...head, ...parts].join('\n');
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
