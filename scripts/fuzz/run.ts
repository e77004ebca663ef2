/** @file Runs cases: reads damaged input, and judges how that went. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLineTarget } from './command-line.ts';
import { errorProblem } from './judge.ts';
import { mediaTargets } from './media-files.ts';
import { createRandom } from './random.ts';
import { folderTargets } from './run-folders.ts';
import { serverTargets } from './server.ts';
import type { Target } from './target.ts';
import { tensorTargets } from './tensor-files.ts';
import { textTargets } from './text-files.ts';

/** Seconds of processor time that a case may take. */
const LONGEST = 2;
/** Bytes that the process may grow by in a case. */
const LARGEST = 1e9;

/** A case that can be repeated. */
export interface Case {
  readonly reader: string;
  readonly seed: number;
}

/** A case that failed. */
export interface Finding extends Case {
  readonly problem: string;
}

/** Makes all targets in a temporary folder, which `close` removes. */
export async function openTargets(): Promise<{ targets: readonly Target[]; close(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'acdit-fuzz-'));
  const targets = [
    ...(await tensorTargets(folder)),
    ...(await mediaTargets(folder)),
    ...(await textTargets(folder)),
    ...(await folderTargets(folder)),
    ...(await serverTargets()),
    await commandLineTarget(folder),
  ];
  return { targets, close: () => rm(folder, { recursive: true, force: true }) };
}

/** Runs a case. @returns the problem, if there is one */
export async function runCase(target: Target, seed: number): Promise<Finding | undefined> {
  const started = process.cpuUsage();
  const memory = process.memoryUsage.rss();
  const most = process.resourceUsage().maxRSS;
  let problem: string | undefined;
  try {
    problem = await target.run(createRandom(seed));
  } catch (error) {
    problem = errorProblem(error);
  }
  const { user, system } = process.cpuUsage(started);
  const seconds = (user + system) / 1e6;
  const peak = process.resourceUsage().maxRSS;
  const grown = peak > most ? 1024 * peak - memory : 0;
  if (seconds > LONGEST) problem ??= `took ${seconds.toFixed(1)} s of processor time`;
  if (grown > LARGEST) problem ??= `took ${Math.round(grown / 1e6)} MB`;
  return problem === undefined ? undefined : { reader: target.name, seed, problem };
}
