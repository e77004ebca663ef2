import { mkdir, mkdtemp, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomTensor } from '../../test/support/evaluate.ts';
import { at } from '../at.ts';
import { encodeSafetensors, openSafetensors } from '../formats/safetensors.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { add, linear, split } from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import { openFile } from '../io/file-source.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { BoundTensor, BoundWeights } from './device.ts';
import { withWeightsInFiles } from './file-weights.ts';
import { openCpu } from './node.ts';

/** Large enough not to be part of the program's message. */
const WIDTH = 144;
const ROWS = 3;
const names = ['whole', 'byRows', 'byColumns'] as const;
type Weights = Record<(typeof names)[number], Tensor<'float32'>>;

const device = openCpu();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'acdit-file-weights-'));
});
afterAll(async () => {
  await device.dispose();
  await rm(folder, { recursive: true, force: true });
});

function randomWeights(seed: number): Weights {
  return {
    whole: randomTensor([WIDTH, WIDTH], seed),
    byRows: randomTensor([3 * WIDTH, WIDTH], seed + 1),
    byColumns: randomTensor([WIDTH, 2 * WIDTH], seed + 2),
  };
}

/** Products with a whole weight, one that is split by rows, unevenly, and one that is split by columns. */
function products(): Graph {
  const x = input('x', [ROWS, WIDTH]);
  const rows = split(input('byRows', [3 * WIDTH, WIDTH]), 0, [WIDTH, 2 * WIDTH]);
  const columns = split(input('byColumns', [WIDTH, 2 * WIDTH]), 1, [WIDTH, WIDTH]);
  const [left, right] = columns.map((part) => linear(x, part));
  return graphOf({
    product: linear(x, input('whole', [WIDTH, WIDTH])),
    first: linear(x, at(rows, 0)),
    last: linear(x, at(rows, 1)),
    sum: add(left!, right!),
  });
}

/** Weights and where they are in the file that they are written to. */
async function stored(file: string, weights: Weights): Promise<BoundWeights> {
  const path = join(folder, file);
  await writeFile(path, encodeSafetensors(Object.entries(weights)));
  const archive = await openSafetensors(await openFile(path));
  const bound = names.map((name): [string, BoundTensor] => [
    name,
    { ...weights[name], place: archive.placeOf!(name)! },
  ]);
  await archive.close();
  return Object.fromEntries(bound);
}

async function results(bound: BoundWeights): Promise<Record<string, Tensor>> {
  const program = await device.compile(products(), bound);
  const outputs = await program.run({ x: randomTensor([ROWS, WIDTH], 9) });
  await program.dispose();
  return outputs;
}

describe('weights in a file', () => {
  it('give the same bits as in memory', async () => {
    const weights = randomWeights(1);
    expect(await results(await stored('same.safetensors', weights))).toEqual(await results(weights));
  });

  it('are read from the file, of which rows are ranges', async () => {
    const [inFile, inMemory] = [randomWeights(11), randomWeights(21)];
    const bound = await stored('read.safetensors', inFile);
    const elsewhere = names.map((name) => [name, { ...bound[name], data: inMemory[name].data }]);
    expect(await results(Object.fromEntries(elsewhere))).toEqual(await results(inFile));
    const { bound: taken } = withWeightsInFiles(products(), bound)!;
    expect(taken['byRows.1']).toMatchObject({ shape: [2 * WIDTH, WIDTH], length: 2 * WIDTH * WIDTH * 4 });
  });

  it('stay as they were in programs made before the file is replaced or removed', async () => {
    const weights = randomWeights(31);
    const program = await device.compile(products(), await stored('kept.safetensors', weights));
    await writeFile(join(folder, 'kept.safetensors'), 'other');
    await rm(join(folder, 'kept.safetensors'));
    const outputs = await program.run({ x: randomTensor([ROWS, WIDTH], 9) });
    await program.dispose();
    expect(outputs).toEqual(await results(weights));
  });

  it('are taken from memory if the file was replaced, written to, cut off or removed since it was opened', async () => {
    const weights = randomWeights(41);
    const expected = await results(weights);
    const path = join(folder, 'changed.safetensors');
    const changes: (() => Promise<unknown>)[] = [
      async () => rename(join(folder, 'new.safetensors'), path),
      async () => utimes(path, 1, 1),
      async () => truncate(path, 1000),
      async () => rm(path),
    ];
    for (const change of changes) {
      await stored('new.safetensors', randomWeights(51));
      const bound = await stored('changed.safetensors', weights);
      await change();
      expect(await results(bound)).toEqual(expected);
    }
  });

  it('are taken from memory if one of them is not in a file, or the files are in several folders', async () => {
    const weights = randomWeights(71);
    const bound = await stored('some.safetensors', weights);
    expect(withWeightsInFiles(products(), { ...bound, whole: weights.whole })).toBeUndefined();
    await mkdir(join(folder, 'other'));
    const other = await stored('other/some.safetensors', weights);
    expect(withWeightsInFiles(products(), { ...bound, whole: other.whole! })).toBeUndefined();
    expect(await results({ ...bound, whole: other.whole! })).toEqual(await results(weights));
  });
});
