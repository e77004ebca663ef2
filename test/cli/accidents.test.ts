/** @file What commands do when their terminal closes, a disk is full, a folder is another's, or a file is damaged. */
// @module-tag slow

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readMetrics } from '../../src/training/logging/jsonl.ts';
import { type CliResult, runInProcess, spawnCli, spawnCliTo, startCli } from '../support/cli.ts';
import { writeIdxDataset } from '../support/idx-files.ts';
import { mountSmallDisk } from '../support/small-disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

let folder: string;
let recipe: string;

const inFolder = (...names: string[]): string => join(folder, ...names);

beforeEach(() => {
  folder = temporaryFolder();
  writeIdxDataset(inFolder('data'), { count: 12, side: 8, classes: 3 });
  recipe = inFolder('recipe.json');
  const json = {
    model: { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 2, blocks: 4 },
    data: { path: inFolder('data'), imageSize: 8, channels: 1, flip: true },
    training: { steps: 6, batch: 4, schedule: 'constant', learningRate: 1e-3, ema: 0.9 },
    output: { folder: inFolder('run'), logEvery: 1, checkpointEvery: 1_000_000, sampleSteps: 2 },
  };
  writeFileSync(recipe, JSON.stringify(json));
});

const trainArgs = (...args: string[]): string[] => ['train', recipe, '--threads', '1', ...args];
const train = (...args: string[]): Promise<CliResult> => runInProcess(trainArgs(...args));
const model = (run: string): Buffer => readFileSync(inFolder(run, 'model.safetensors'));

function expectBadInput({ code, stderr }: CliResult, ...messages: string[]): void {
  for (const message of messages) expect(stderr).toContain(message);
  expect(code).toBe(2);
}

/** Step of the newest state in the run's folder. */
function savedStep(): number {
  return Number(/\d+/.exec(readdirSync(inFolder('run', 'trainer')).sort().at(-1) ?? '')?.[0] ?? 0);
}

/** The run must resume after its last step, and end as one that nothing happened to. */
async function expectResumes(): Promise<void> {
  const step = savedStep();
  expect(step).toBeGreaterThan(2);
  const steps = ['--steps', String(step + 3), '--quiet'];
  expect((await train(...steps)).code).toBe(0);
  expect((await train(...steps, '--out', inFolder('straight'))).code).toBe(0);
  expect(model('run').equals(model('straight'))).toBe(true);
  const losses = (run: string) =>
    readMetrics(inFolder(run, 'metrics.jsonl')).map(({ step, loss }) => [step, loss]);
  expect(losses('run')).toEqual(losses('straight'));
}

describe('a training', () => {
  it.skipIf(process.platform === 'win32')('saves when its terminal closes', async () => {
    const running = startCli(trainArgs('--json', '--steps', '1000000'));
    await running.printed('"step":5');
    running.child.kill('SIGHUP');
    expect(await running.result).toMatchObject({ code: 130 });
    await expectResumes();
  });

  it.skipIf(process.platform === 'win32')('saves when nobody reads its output any more', async () => {
    const running = startCli(trainArgs('--json', '--steps', '1000000'));
    await running.printed('"step":5');
    running.child.stdout.destroy();
    expect(await running.result).toMatchObject({ code: 130 });
    await expectResumes();
  });

  it.runIf(existsSync('/dev/full'))('saves when the disk behind its standard output is full', async () => {
    const result = await spawnCliTo('/dev/full', trainArgs('--json', '--steps', '1000000'));
    expectBadInput(result, 'acdit: cannot write standard output: the disk is full; free some space\n');
    // The first line is printed before the first step.
    expect(existsSync(inFolder('run', 'trainer'))).toBe(true);
    expect((await train('--quiet')).code).toBe(0);
  });

  it('saves when the disk behind a log is full, and names the file', async ({ skip }) => {
    // At its path from the beginning: the folder of a run may have such a disk in it.
    mkdirSync(inFolder('run', 'trainer'), { recursive: true });
    if (!mountSmallDisk(inFolder('run', 'tensorboard'), 4)) return skip();
    const result = await spawnCli(trainArgs('--json', '--steps', '1000000'));
    expectBadInput(result, 'cannot write', 'events.out.tfevents', 'the disk is full; free some space');
    spawnSync('umount', [inFolder('run', 'tensorboard')]);
    await expectResumes();
  });

  it('names the log and the step to resume from if nothing can be saved', async ({ skip }) => {
    if (!mountSmallDisk(inFolder('run'), 16)) return skip();
    const result = await spawnCli(trainArgs('--json', '--steps', '1000000'));
    expectBadInput(result, 'and the run resumes after step 0');
    expect(result.stderr).toMatch(
      /cannot write .*(metrics|tfevents).*: the disk is full; free some space; step \d+ could not be saved either/,
    );
  });

  it('is the only one in its folder', async () => {
    const running = startCli(trainArgs('--json', '--steps', '1000000'));
    await running.printed('"step":2');
    const other = await train('--steps', '1000000');
    expectBadInput(other, `run: process ${running.child.pid} on this machine is writing to it`);
    running.child.kill('SIGKILL');
    await running.result;
    expect((await train('--quiet')).code).toBe(0);
  });

  it('replaces no model that is not its own', async () => {
    await saveTiny(inFolder('run'), tinyPixels);
    const before = model('run');
    writeFileSync(inFolder('run', 'metrics.jsonl'), '{"step":9,"time":1,"loss":1}\n');
    expectBadInput(
      await train(),
      'run holds metrics.jsonl but no training state',
      '--fresh --overwrite',
      '--out',
    );
    expectBadInput(await train('--fresh'), 'already holds a run');
    expect(model('run').equals(before)).toBe(true);
    expect(readMetrics(inFolder('run', 'metrics.jsonl'))).toHaveLength(1);
    expect((await train('--fresh', '--overwrite', '--quiet')).code).toBe(0);
    expect(model('run').equals(before)).toBe(false);
  });

  it('resumes from the older state, with a line, when a bit of the newer was flipped', async () => {
    await train('--steps', '8', '--output.checkpointEvery', '4', '--quiet');
    const whole = model('run');
    const newest = inFolder('run', 'trainer', 'step-00000008.safetensors');
    const bytes = readFileSync(newest);
    bytes[bytes.length >> 1] ^= 4;
    writeFileSync(newest, bytes);
    const { code, stderr } = await train('--steps', '8', '--output.checkpointEvery', '4');
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^warning: .*step-00000008.*damaged: its checksum is wrong; the state of step 4 is used instead\n/,
    );
    expect(model('run').equals(whole)).toBe(true);
    expect(readMetrics(inFolder('run', 'metrics.jsonl')).map(({ step }) => step)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
  });
});

describe('a command', () => {
  it.runIf(existsSync('/dev/full'))('fails if what it prints cannot be written', async () => {
    const pixels = await saveTiny(inFolder('pixels'), tinyPixels);
    for (const args of [['--version'], ['info', pixels], ['sample', '--help']]) {
      const result = await spawnCliTo('/dev/full', args);
      expectBadInput(result, 'acdit: cannot write standard output: the disk is full; free some space\n');
    }
  });
});
