/**
 * @file The commands that the kill test kills: small work of each kind that resumes, and what must be the same in the
 * end.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { golden } from '../../test/support/golden.ts';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { writePictureFolder } from '../../test/support/picture-folder.ts';
import { saveAutoencoder } from '../../test/support/tiny-autoencoder.ts';
import { saveTiny, tinyPixels } from '../../test/support/tiny-model.ts';

/** A command that resumes. */
export interface Scenario {
  readonly name: string;
  /** Its arguments; it writes into `out`, which may exist. */
  args(out: string): readonly string[];
  /** Additional environment variables. */
  env?(out: string): Readonly<Record<string, string>>;
  /** Returns what it has made, by name. Two runs must agree in all of it. */
  outcome(out: string): Readonly<Record<string, string>>;
}

/** Locations of the scenarios' inputs, and the hub that serves them. */
export interface Inputs {
  readonly folder: string;
  readonly hubEndpoint: string;
}

/** The repository of the hub in which the model of {@link writeInputs} is. */
export const HUB_REPOSITORY = 'owner/repo';

/** Writes the inputs that are files. @returns the files that the hub must serve */
export async function writeInputs(folder: string): Promise<Record<string, Buffer>> {
  writeIdxDataset(join(folder, 'data'), { count: 24, side: 8, classes: 3 });
  await writePictureFolder(join(folder, 'images'), 24, 64);
  await saveAutoencoder(join(folder, 'vae'));
  await saveTiny(join(folder, 'model'), tinyPixels);
  const json = {
    model: { layers: 1, hidden: 64, heads: 1, mlpRatio: 2, patch: 2, blocks: 4 },
    data: { path: join(folder, 'data'), imageSize: 8, channels: 1, flip: true },
    training: { steps: 150, batch: 4, schedule: 'constant', learningRate: 1e-3, ema: 0.9 },
    output: { folder: 'run', logEvery: 5, checkpointEvery: 10, sampleEvery: 0 },
  };
  writeFileSync(join(folder, 'recipe.json'), JSON.stringify(json));
  const files = ['config.json', 'model.safetensors'];
  return Object.fromEntries(
    files.map((name) => [`${HUB_REPOSITORY}/${name}`, readFileSync(join(folder, 'model', name))]),
  );
}

/** The scenarios, in the order in which they take turns. */
export function scenariosOf({ folder, hubEndpoint }: Inputs): readonly Scenario[] {
  const input = (name: string): string => join(folder, name);
  return [
    {
      name: 'train',
      args: (out) => ['train', input('recipe.json'), '--out', out, '--threads', '1', '--quiet'],
      outcome: (out) => ({
        ...filesIn(out, /^(config\.json|model\.safetensors|trainer\/)/),
        losses: losses(out),
      }),
    },
    {
      name: 'sample',
      args: (out) => {
        const settings = ['--count', '60', '--batch', '4', '--steps', '20', '--threads', '1'];
        return ['sample', input('model'), '--npz', join(out, 'samples.npz'), ...settings];
      },
      outcome: (out) => filesIn(out, /./),
    },
    {
      name: 'encode',
      args: (out) => {
        const settings = ['--vae', input('vae'), '--size', '64', '--shard-size', '8', '--threads', '1'];
        return ['encode', input('images'), out, ...settings, '--quiet'];
      },
      outcome: (out) => filesIn(out, /./),
    },
    {
      name: 'tune',
      args: () => {
        const settings = ['--steps', '3,4', '--samples', '4', '--reference-steps', '16', '--threads', '1'];
        return ['tune', golden('image-tiny.pt'), ...settings, '--overwrite', '--quiet'];
      },
      env: (out) => ({ XDG_CACHE_HOME: out }),
      // ONNX Runtime has files of its own in the cache.
      outcome: (out) => filesIn(join(out, 'acdit'), /./),
    },
    {
      name: 'fetch',
      args: () => ['info', HUB_REPOSITORY, '--json'],
      env: (out) => ({ HF_ENDPOINT: hubEndpoint, HF_HOME: out }),
      // Next to the cache are notes of when each file was checked.
      outcome: (out) => filesIn(join(out, 'hub'), /./),
    },
  ];
}

/** The SHA-256 of each file of a folder whose path in it fits. */
function filesIn(folder: string, pattern: RegExp): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => statSync(path).isFile())
    .map((path) => relative(folder, path))
    .filter((path) => pattern.test(path));
  const sha256 = (path: string): string =>
    createHash('sha256')
      .update(readFileSync(join(folder, path)))
      .digest('hex');
  return Object.fromEntries(paths.sort().map((path) => [path, sha256(path)]));
}

/** The logged losses of a training; its times differ from run to run. */
function losses(folder: string): string {
  return readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .map(({ step, loss, gradientNorm }) => `${step} ${loss} ${gradientNorm}`)
    .join('\n');
}
