/** @file What the commands do, without a terminal: `acdit/runs`. */

export type { Progress, Reporter, WorkOptions } from './reporter.ts';
