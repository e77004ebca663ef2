/** @file The ways to sample that are compared. */

import type { SolverFile } from '../../src/checkpoints/solver-file.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { meanPasses, planSampling } from '../../src/sampling/request.ts';
import type { SettingsRequest } from '../../src/sampling/settings.ts';

/** A way to sample. */
export interface Row {
  /** Names its files. */
  readonly name: string;
  readonly title: string;
  /** The curve of the plot that it is a point of; other rows are in the table only. */
  readonly curve?: 'uniform' | 'tuned';
  /** Passes per block, the mean of all blocks. */
  readonly passes: number;
  readonly settings: SettingsRequest;
}

/** Peak signal-to-noise ratios in dB, and processor seconds per sample. */
export interface Exactness {
  readonly psnr: { readonly median: number; readonly worstTenth: number };
  readonly seconds: number;
}

/** What is measured of a row. */
export interface RowResult extends Row, Exactness {
  readonly samples: number;
  /** The numbers of `acdit evaluate`. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** Numbers of the default's uniform steps: 25 is the default, the others show what fewer of them cost. */
const DEFAULT_STEPS = [25, 12, 7, 5];
const EVEN_STEPS = 10;

/** Returns the ways to sample from a model, the default first; `tuned` is its solver, if it has one. */
export function rowsOf(config: AcditConfig, tuned: SolverFile | undefined): Row[] {
  const row = (name: string, title: string, settings: SettingsRequest, curve?: Row['curve']): Row => {
    const passes = meanPasses(planSampling(config, { labels: [0], ...(tuned && { tuned }), ...settings }));
    return { name, title, passes, settings, ...(curve && { curve }) };
  };
  const even: SettingsRequest = { steps: EVEN_STEPS, timesteps: 'logsnr' };
  const plain = [
    ...DEFAULT_STEPS.map((steps) => row(`default-${steps}`, `${steps} uniform steps`, { steps }, 'uniform')),
    row(`logsnr-${EVEN_STEPS}`, `${EVEN_STEPS} logSNR steps`, even),
  ];
  if (!tuned) return plain;
  const { guidance, solvers } = tuned;
  return [
    ...plain,
    row(`logsnr-${EVEN_STEPS}-guided`, `${EVEN_STEPS} logSNR steps, the tuned guidance`, {
      ...even,
      guidance,
    }),
    ...solvers.map(({ steps }) =>
      row(`tuned-${steps}`, `tuned, ${steps} steps`, { steps, solver: 'tuned', guidance }, 'tuned'),
    ),
  ];
}
