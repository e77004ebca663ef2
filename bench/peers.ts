/**
 * @file A denoising step or a training step of the paper's image models and the same step in PyTorch, in turns, so that
 * other load on the machine slows both equally. The first call installs PyTorch in .cache/peers (1.4 GB; needs Python 3.11 or
 * later, a C compiler and a package index).
 * Usage: npm run bench:peers -- step|train [B|L|XL|H] [tokens cached: 0, 256, 512 or 768] [repeats]
 */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openCpu } from '../src/runtime/node.ts';
import type { Precision } from '../src/sampling/precision.ts';
import { median, time } from './matrix-speed.ts';
import { openDenoisingStep, openTrainingStep, type Size } from './paper-steps.ts';
import { processor } from './processor.ts';
import { startPeer } from './torch-peer.ts';

const FOLDER = resolve('.cache/peers');
const PYTHON = join(FOLDER, 'bin/python');
const STAND_INS = join(FOLDER, 'without-cuda');
const SOURCES = 'bench/peers';
const VARIANTS = {
  step: ['float32', 'compiled', 'bf16', 'compiled-bf16', 'int8'],
  train: ['float32', 'compiled', 'bf16'],
};
const kind = process.argv[2] === 'train' ? 'train' : 'step';
const size = (process.argv[3] ?? 'B') as Size;
const cached = kind === 'step' ? Number(process.argv[4] ?? 0) : 0;
const repeats = Number(process.argv[5] ?? 7);

install();
const device = openCpu();
const ours: Readonly<Record<string, () => Promise<unknown>>> =
  kind === 'step'
    ? { float32: await denoising('fp32'), int8: await denoising('int8') }
    : { float32: (await openTrainingStep(device, size, 'save')).step };
for (const step of [...Object.values(ours), ...Object.values(ours)]) await step();
console.log(processor());
console.log(`ACDiT-${size}, ${kind === 'step' ? `denoising step, ${cached} cached` : 'training step'}\n`);
const columns = Object.keys(ours).map((name) => `ours in ${name}`);
console.log(
  `| PyTorch | its seconds | ${columns.join(' | ')} |\n| --- | --- |${' --- |'.repeat(columns.length)}`,
);
for (const variant of VARIANTS[kind]) {
  const peer = await startPeer(PYTHON, [kind, size, ...(kind === 'step' ? [String(cached)] : []), variant], {
    LD_LIBRARY_PATH: STAND_INS,
  });
  const theirs: number[] = [];
  const own = Object.values(ours).map((step) => ({ step, seconds: [] as number[] }));
  for (let i = 0; i < repeats; i++) {
    for (const { step, seconds } of own) seconds.push((await time(step)) / 1000);
    theirs.push(await peer.step());
  }
  peer.stop();
  const shown = [theirs, ...own.map(({ seconds }) => seconds)].map((values) => median(values).toFixed(3));
  console.log(`| ${[variant, ...shown].join(' | ')} |`);
}
await device.dispose();

async function denoising(precision: Precision): Promise<() => Promise<unknown>> {
  const { config, step, append } = await openDenoisingStep(device, size, precision);
  for (let block = 0; block < cached / config.blockSize; block++) await append();
  return step;
}

/** Installs the packages of requirements.txt, unless they are installed. */
function install(): void {
  const list = readFileSync(join(SOURCES, 'requirements.txt'), 'utf8');
  const installed = join(FOLDER, 'installed.txt');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === list) return;
  mkdirSync(FOLDER, { recursive: true });
  const run = (command: string, ...options: string[]): void => {
    execFileSync(command, options, { stdio: 'inherit' });
  };
  run('python3', '-m', 'venv', FOLDER);
  run(PYTHON, '-m', 'pip', 'install', '--quiet', '--no-deps', '-r', join(SOURCES, 'requirements.txt'));
  run(PYTHON, join(SOURCES, 'without_cuda.py'), STAND_INS);
  writeFileSync(installed, list);
}
