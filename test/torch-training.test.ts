/** A training of acdit that PyTorch continues, and one of PyTorch that acdit continues. */

// @module-tag slow

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDataset } from '../src/data/open.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { noisedBatches } from '../src/training/noising.ts';
import { parseRecipe, recipeModel } from '../src/training/recipe.ts';
import { runInProcess } from './support/cli.ts';
import { pythonWithTorch, runPython } from './support/python-torch.ts';
import { checksums, tinyRun } from './support/tiny-run.ts';

const EXAMPLE = join(import.meta.dirname, '../examples/pytorch');
const SCRIPT = readFileSync(join(import.meta.dirname, 'support/torch-training.py'), 'utf8');

async function acdit(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runInProcess(args);
  expect(code, stderr).toBe(0);
  return stdout;
}

/** The losses that a run has logged, by step. */
function lossesOf(folder: string): Map<number, number> {
  const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').trim().split('\n');
  return new Map(lines.map((line) => JSON.parse(line)).map(({ step, loss }) => [step, loss]));
}

/** The micro-batches of the steps after step 2 as JSON: a step is a list of them. */
async function batchesAfter(recipePath: string, steps: number): Promise<string> {
  const recipe = parseRecipe(JSON.parse(readFileSync(recipePath, 'utf8')));
  const dataset = await openDataset(recipe.data);
  const { batch, accumulate } = recipe.training;
  const start = { step: 2, position: 2 * batch * accumulate };
  const source = noisedBatches({ recipe, config: recipeModel(recipe, dataset), dataset, start });
  const plain = ({ shape, data }: Tensor<'float32'>) => ({ shape, data: Array.from(data) });
  const all: object[][] = [];
  while (all.length < steps) {
    const micro: object[] = [];
    while (micro.length < accumulate) {
      const { clean, noised, target, timesteps, labels } = (await source.next()).value!;
      micro.push({
        ...{ clean: plain(clean), noised: plain(noised), target: plain(target) },
        ...{ timesteps: Array.from(timesteps), labels: Array.from(labels) },
      });
    }
    all.push(micro);
  }
  await source.return();
  return JSON.stringify(all);
}

it.skipIf(pythonWithTorch === undefined)(
  'continues in PyTorch and back with the same losses',
  async () => {
    const { folder, train } = tinyRun();
    const inFolder = (name: string): string => join(folder, name);
    await acdit(...train('run', '--steps', '2'));
    await acdit('convert', inFolder('run'), inFolder('run.pt'), '--training');
    await acdit('convert', inFolder('run.pt'), inFolder('back'), '--training');
    const files = ['trainer/step-00000002.safetensors', 'model.safetensors', 'config.json'];
    expect(checksums(inFolder('back'), files)).toEqual(checksums(inFolder('run'), files));

    await acdit(...train('run', '--steps', '5'));
    const own = lossesOf(inFolder('run'));
    writeFileSync(inFolder('batches.json'), await batchesAfter(inFolder('recipe.json'), 3));
    const args = [EXAMPLE, inFolder('batches.json'), inFolder('run.pt'), folder];
    const theirs = runPython(SCRIPT, ...args) as number[];
    expect(theirs).toHaveLength(3);
    for (const [i, loss] of theirs.entries()) expect(loss).toBeCloseTo(own.get(3 + i)!, 4);

    // The example continues from the same checkpoint, and acdit from there.
    await acdit('sample', inFolder('run'), '--count', '20', '--npz', inFolder('images.npz'), '--steps', '2');
    const [resume, out] = [join(EXAMPLE, 'resume.py'), inFolder('further.pt')];
    const steps = ['--steps', '2', '--batch', '4'];
    execFileSync(pythonWithTorch!, [resume, inFolder('run.pt'), inFolder('images.npz'), out, ...steps]);
    await acdit('convert', out, inFolder('further'), '--training');
    expect(await acdit(...train('further', '--steps', '5'))).toContain('"kind":"start","step":4,');

    const fresh = runPython(SCRIPT, ...args, 'fresh') as number[];
    expect(Math.abs(fresh[1]! - own.get(4)!)).toBeGreaterThan(1e-3); // the moments matter

    // From PyTorch's state after step 3.
    for (const name of ['zip', 'legacy', 'foreign']) {
      await acdit('convert', inFolder(`${name}.pt`), inFolder(name), '--training');
      const betas = name === 'foreign' ? ['--training.betas', '[0.9,0.95]'] : [];
      await acdit(...train(name, '--steps', '5', ...betas));
      const losses = lossesOf(inFolder(name));
      expect([...losses.keys()]).toEqual([4, 5]);
      for (const [step, loss] of losses) expect(loss, `${name}, step ${step}`).toBeCloseTo(own.get(step)!, 4);
    }
  },
  120_000,
);
