/** @file Arguments of the commands, run in this process; their work is interrupted as soon as it begins. */

import { lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CliResult, runInProcess } from '../../test/support/cli.ts';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { saveAutoencoder } from '../../test/support/tiny-autoencoder.ts';
import { saveTiny, tinyLatents, tinyPixels } from '../../test/support/tiny-model.ts';
import { HOSTILE_TEXT } from './damage.ts';
import { messageProblem } from './judge.ts';
import type { Random } from './random.ts';
import type { Target } from './target.ts';

const RECIPE = {
  model: { layers: 1, hidden: 8, heads: 1, patch: 4, blocks: 1 },
  data: { path: 'data', imageSize: 8, channels: 1 },
  training: { steps: 2, batch: 1 },
  output: { folder: 'run' },
};

/** Valid arguments of each command. */
const COMMANDS: readonly (readonly string[])[] = [
  ['sample', 'pixels', '--steps', '1', '--out', 'out', '--labels', '0,1'],
  ['sample', 'latents', '--vae', 'vae', '--count', '3', '--npz', 'out.npz', '--batch', '2'],
  ['train', 'recipe.json', '--training.steps', '3', '--out', 'run'],
  ['encode', 'data', 'set', '--vae', 'vae', '--image-size', '8'],
  ['convert', 'pixels', 'converted', '--dtype', 'bf16'],
  ['verify', 'pixels', 'golden.npz'],
  ['evaluate', 'data', 'out', '--batch', '2', '--size', '8'],
  ['serve', 'pixels', '--port', '0', '--queue', '3', '--deadline', '5'],
  ['info', 'pixels', '--plan', '--json'],
];

/** None begins with a slash, so output stays in the folder. */
const VALUES = [
  ...[
    '',
    '-1',
    '0',
    '1',
    '2',
    '0.5',
    '1e999',
    '1e12',
    '99999999999999999999',
    'NaN',
    '0x10',
    '١',
    ' 1',
    '1,2,x',
    '0-2',
  ],
  ...[
    'pixels',
    'latents',
    'vae',
    'data',
    'out',
    'missing/x',
    '.',
    '..',
    'recipe.json',
    'a\0b',
    '--',
    '-',
    '__proto__',
  ],
  ...[
    'cpu',
    'webgpu',
    'all',
    'none',
    'Sneaker',
    'owner/name',
    'hf://',
    'https://[',
    '*',
    HOSTILE_TEXT,
    'é'.repeat(3000),
  ],
];

type Flags = ReadonlyMap<string, readonly string[]>;

/** The flags that each command's help lists. */
async function knownFlags(): Promise<Flags> {
  const names = [...new Set(COMMANDS.map(([name = '']) => name))];
  const entries = names.map(async (name) => {
    const { stdout } = await runInProcess([name, '--help']);
    return [
      name,
      [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)]
        .map(([, flag = '']) => flag)
        .filter((flag) => flag !== '--verbose'),
    ] as const;
  });
  return new Map(await Promise.all(entries));
}

function damagedArguments(flags: Flags, random: Random): string[] {
  const valid = random.pick(COMMANDS);
  const args = [...valid];
  do {
    const at = random.below(args.length + 1);
    const choice = random.below(6);
    if (choice === 0) args.splice(at, 1);
    else if (choice === 1) args.splice(at, 0, random.pick(VALUES));
    else if (choice === 2) args[random.below(args.length)] = random.pick(VALUES);
    else if (choice === 3 && at < args.length) args[at] = misspelt(args[at]!, random);
    else args.push(random.pick(flags.get(valid[0] ?? '')!), random.pick(VALUES));
  } while (random.oneIn(2));
  return args;
}

function misspelt(text: string, random: Random): string {
  const at = 1 + random.below(Math.max(1, text.length - 1));
  return (
    text.slice(0, at) + random.pick(['', 'x', '=', '9', '\u001b', '-']) + text.slice(at + random.below(2))
  );
}

function resultProblem(args: readonly string[], { code, stderr }: CliResult): string | undefined {
  const shown = `acdit ${args.map((arg) => JSON.stringify(arg).slice(0, 60)).join(' ')}`;
  if (code === 0 || code === 130) return undefined;
  const lines = stderr.trimEnd().split('\n');
  const errors = lines.filter((line) => !line.startsWith('warning: '));
  if (code !== 2 || errors.length !== 1) return `${shown} ends with code ${code}: ${stderr.slice(0, 2000)}`;
  const problem = messageProblem(errors.join().replace(/^acdit: /, ''));
  return problem && `${shown}: ${problem}`;
}

/** Makes small models and data to name, in the working folder. */
async function writeInputs(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await saveTiny(join(folder, 'pixels'), tinyPixels);
  await saveTiny(join(folder, 'latents'), tinyLatents);
  await saveAutoencoder(join(folder, 'vae'));
  writeIdxDataset(join(folder, 'data'), { count: 4, side: 8, classes: 2 });
  await writeFile(join(folder, 'recipe.json'), JSON.stringify(RECIPE));
}

/** Names, sizes and times of all files, by which a command that wrote something is noticed. */
async function contentsOf(folder: string): Promise<string> {
  const names = await readdir(folder, { recursive: true });
  const stats = names.map(async (name) => ({ name, ...(await lstat(join(folder, name))) }));
  return (await Promise.all(stats)).map(({ name, size, mtimeMs }) => `${name} ${size} ${mtimeMs}`).join('\n');
}

/** Returns the target of the command line. */
export async function commandLineTarget(folder: string): Promise<Target> {
  // Some levels down, so that `..` stays inside.
  const work = join(folder, 'command', 'line');
  const flags = await knownFlags();
  let whole: string | undefined;
  const run = async (args: readonly string[]): Promise<CliResult> => {
    const before = process.cwd();
    if (whole === undefined || whole !== (await contentsOf(join(folder, 'command')))) {
      await rm(join(folder, 'command'), { recursive: true, force: true });
      await writeInputs(work);
      whole = await contentsOf(join(folder, 'command'));
    }
    process.chdir(work);
    process.env.HF_HUB_OFFLINE = '1';
    try {
      return await runInProcess(args, AbortSignal.abort(new Error('interrupted')));
    } finally {
      process.chdir(before);
    }
  };
  return {
    name: 'command line',
    async run(random) {
      const args = damagedArguments(flags, random);
      return resultProblem(args, await run(args));
    },
    async whole() {
      for (const args of COMMANDS) {
        const { code, stderr } = await run(args);
        if (code !== 0 && code !== 130 && code !== 2) throw new Error(stderr);
      }
    },
  };
}
