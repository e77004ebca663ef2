/** @file The scripts of job arrays in examples/ divide and combine as they say, with commands that acdit accepts. */

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const EXAMPLES = join(import.meta.dirname, '../../examples');

/** Runs a shell script with an npx that prints its arguments. */
function commandOf(script: readonly string[], env: Record<string, string>): string {
  const bin = join(temporaryFolder(), 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'npx'), '#!/bin/sh\necho "$@"\n');
  chmodSync(join(bin, 'npx'), 0o755);
  const [command = '', ...args] = script;
  const options = { encoding: 'utf8', env: { PATH: `${bin}:${process.env.PATH}`, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(command, args, options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trim();
}

it.skipIf(process.platform === 'win32')('slurm-sample.sbatch counts parts from 1, and combines', () => {
  const script = ['bash', join(EXAMPLES, 'slurm-sample.sbatch')];
  const settings = 'acdit sample fashion-mnist --count 50000 --seed 1 --npz samples.npz --threads 16';
  expect(commandOf(script, { SLURM_ARRAY_TASK_ID: '15' })).toBe(`${settings} --part 16/16`);
  expect(commandOf(script, { SLURM_ARRAY_TASK_ID: '0', COMBINE: '1' })).toBe(settings);
});

it.skipIf(process.platform === 'win32')('kubernetes-encode.yaml counts parts from 1', () => {
  const yaml = readFileSync(join(EXAMPLES, 'kubernetes-encode.yaml'), 'utf8');
  const [, completions] = /completions: (\d+)/.exec(yaml)!;
  const script = /- (exec npx[\s\S]*?\/\d+")/.exec(yaml)![1]!.replaceAll(/\n\s+/g, ' ');
  const command = commandOf(['sh', '-c', script], { JOB_COMPLETION_INDEX: '0' });
  expect(command).toBe(
    `acdit encode /data/images /data/latents --vae /data/vae --threads 16 --part 1/${completions}`,
  );
});
