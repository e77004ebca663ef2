import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { saveClassifier } from '../../src/checkpoints/classifier.ts';
import { loadModel } from '../../src/checkpoints/load.ts';
import { writeFeatures } from '../../src/evaluation/evaluation-set.ts';
import { readImage, writePng } from '../../src/media/image.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { readMetrics } from '../../src/training/logging/jsonl.ts';
import { type CliResult, lastLine, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { writeIdxDataset } from '../support/idx-files.ts';
import { noiseImage } from '../support/noise-image.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyClassifier } from '../support/tiny-classifier.ts';

let folder: string;
let recipe: string;

const inFolder = (...names: string[]): string => join(folder, ...names);

beforeEach(() => {
  folder = temporaryFolder();
  writeIdxDataset(inFolder('data'), { count: 12, side: 8, classes: 3 });
  recipe = inFolder('recipe.json');
  writeRecipe({});
});

/** A recipe whose training takes about a millisecond a step. */
function writeRecipe(training: object, sections: object = {}): void {
  const json = {
    model: { layers: 1, hidden: 32, heads: 1, mlpRatio: 2, patch: 2, blocks: 4 },
    data: { path: inFolder('data'), imageSize: 8, channels: 1, flip: true },
    training: { steps: 6, batch: 4, schedule: 'constant', learningRate: 1e-3, ema: 0.9, ...training },
    output: { folder: inFolder('run'), logEvery: 2, checkpointEvery: 1000, sampleSteps: 2 },
    ...sections,
  };
  writeFileSync(recipe, JSON.stringify(json));
}

const train = (...args: string[]): Promise<CliResult> =>
  runInProcess(['train', recipe, '--threads', '1', ...args]);
const events = (stdout: string): { kind: string; step: number; loss?: number; frechetDistance?: number }[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
const kinds = (stdout: string): string[] => events(stdout).map(({ kind }) => kind);

function expectBadInput({ code, stderr }: CliResult, ...messages: string[]): void {
  for (const message of messages) expect(lastLine(stderr)).toContain(message);
  expect(code).toBe(2);
}

describe('acdit train', () => {
  it('trains by a recipe, logs, and prints where the model is', async () => {
    const { code, stdout, stderr } = await spawnCli(['train', recipe]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${inFolder('run')}\n` });
    expect(stderr).toMatch(/train \d\/6 .*loss [\d.]+/);
    const metrics = readMetrics(inFolder('run', 'metrics.jsonl'));
    expect(metrics.map(({ step }) => step)).toEqual([2, 4, 6]);
    expect(metrics[0]).toMatchObject({
      loss: expect.any(Number),
      gradientNorm: expect.any(Number),
      learningRate: 1e-3,
      samplesPerSecond: expect.any(Number),
    });
    expect(readdirSync(inFolder('run', 'tensorboard'))).toHaveLength(1);
    const { config } = await loadModel(inFolder('run'));
    expect(config).toMatchObject({ classes: 3, blocks: 4, blockSize: 4, space: 'pixels' });
  });

  it('evaluates on the way, also where it resumes, and logs the scores', async () => {
    writeIdxDataset(inFolder('data'), { count: 20, side: 8, classes: 3, prefix: 't10k' });
    await saveClassifier(inFolder('classifier'), tinyClassifier(['0', '1', '2']));
    const evaluation = { every: 3, network: inFolder('classifier'), samples: 12, steps: 2 };
    writeRecipe({}, { evaluation });
    const { stdout } = await train('--json');
    const evaluations = events(stdout).filter(({ kind }) => kind === 'evaluation');
    expect(evaluations.map(({ step }) => step)).toEqual([3, 6]);
    expect(evaluations[0]).toMatchObject({
      frechetDistance: expect.any(Number),
      precision: expect.any(Number),
      labelAccuracy: expect.any(Number),
    });
    const logged = () =>
      readMetrics(inFolder('run', 'metrics.jsonl')).flatMap((line) => {
        const distance = line['evaluation/frechetDistance'];
        return distance === undefined ? [] : [{ step: line.step, distance }];
      });
    const expected = evaluations.map(({ step, frechetDistance }) => ({ step, distance: frechetDistance }));
    expect(logged()).toEqual(expected);

    // As if it had been stopped in the last evaluation.
    const path = inFolder('run', 'metrics.jsonl');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    writeFileSync(
      path,
      lines
        .slice(0, -1)
        .map((line) => `${line}\n`)
        .join(''),
    );
    expect(logged()).toEqual(expected.slice(0, 1));
    const again = await train();
    expect(again.stderr).toMatch(/evaluation of step 6: frechetDistance [\d.e-]+, labelAccuracy/);
    expect(logged()).toEqual(expected);
    expect((await train()).stderr).not.toContain('evaluation of');
  });

  it('logs scores that were made in another way under another name, and says what differs', async () => {
    writeIdxDataset(inFolder('data'), { count: 20, side: 8, classes: 3, prefix: 't10k' });
    const classifier = tinyClassifier(['0', '1', '2']);
    await saveClassifier(inFolder('classifier'), classifier);
    const evaluation = { every: 2, network: inFolder('classifier'), samples: 6, steps: 2 };
    const trainTo = async (steps: number, changes: object = {}): Promise<string> => {
      writeRecipe({ steps }, { evaluation: { ...evaluation, ...changes } });
      const { code, stderr } = await train();
      expect({ code, stderr }).toMatchObject({ code: 0 });
      return stderr;
    };
    const logged = (): string[] =>
      readMetrics(inFolder('run', 'metrics.jsonl')).flatMap((line) =>
        Object.keys(line)
          .filter((key) => key.endsWith('/frechetDistance'))
          .map((key) => `${line.step} ${key.split('/')[0]}`),
      );
    const warned = 'not comparable with the run';
    expect(await trainTo(2)).not.toContain(warned);

    // The same path holds a network of the same name and sizes with other weights.
    const weights = new Map(classifier.weights);
    const [name, value] = [...weights][0];
    weights.set(name, { ...value, data: value.data.map((element) => 2 * element) });
    await saveClassifier(inFolder('classifier'), { ...classifier, weights });
    const network = await trainTo(4);
    expect(network).toMatch(
      /scores are logged as evaluation-2\/.*: network was tiny-\w+ and is now tiny-\w+\n/,
    );
    expect(await trainTo(6)).not.toContain(warned);

    // The same path holds other images.
    const changeImage = (): void => {
      const path = inFolder('data', 't10k-images-idx3-ubyte.gz');
      const images = gunzipSync(readFileSync(path));
      images[images.length - 1] ^= 255;
      writeFileSync(path, gzipSync(images));
    };
    changeImage();
    expect(await trainTo(8)).toMatch(/evaluation-3\/.*: reference was \w{16} and is now \w{16}\n/);
    expect(await trainTo(10, { samples: 9, cfg: 3 })).toMatch(
      /evaluation-4\/.*: samples was 6 and is now 9; cfg was 1.5 and is now 3\n/,
    );
    await saveClassifier(inFolder('classifier'), classifier);
    changeImage();
    expect(await trainTo(12)).not.toContain(warned);
    // A run whose evaluation changed first makes the one of the step that it resumes from.
    expect(logged()).toEqual([
      '2 evaluation',
      '2 evaluation-2',
      '4 evaluation-2',
      '6 evaluation-2',
      '6 evaluation-3',
      '8 evaluation-3',
      '8 evaluation-4',
      '10 evaluation-4',
      '10 evaluation',
      '12 evaluation',
    ]);
  });

  it("refuses a reference's features of another network before it trains", async () => {
    await saveClassifier(inFolder('classifier'), tinyClassifier(['0', '1', '2']));
    const features = tensor(
      'float32',
      [2, 5],
      new Float32Array(10).map((_, i) => i),
    );
    const reference = inFolder('reference.npz');
    await writeFeatures(reference, { name: 'reference', network: 'inception-2015-12-05', features });
    writeRecipe({}, { evaluation: { every: 2, network: inFolder('classifier'), reference, samples: 6 } });
    expectBadInput(await train(), "of the network 'tiny-", "'inception-2015-12-05'");
    expect(existsSync(inFolder('run'))).toBe(false);
  });

  it('says what an evaluation lacks before it trains', async () => {
    const evaluation = { every: 2, network: inFolder('none') };
    writeRecipe({}, { evaluation });
    expectBadInput(await train(), 'none/config.json: cannot be read', 'a classifier is a folder');
    await saveClassifier(inFolder('classifier'), tinyClassifier(['0', '1', '2']));
    writeRecipe({}, { evaluation: { ...evaluation, network: inFolder('classifier') } });
    expectBadInput(await train(), 'data: has no test images');
    writeRecipe({}, { evaluation: { network: inFolder('classifier') } });
    expectBadInput(await train(), 'evaluation.every');
    writeRecipe({}, { evaluation: { every: 2, netwrok: 'x', network: 'x' } });
    expectBadInput(await train(), "'evaluation.netwrok'; did you mean 'network'");
    expect(existsSync(inFolder('run'))).toBe(false);
  });

  it('replaces parts of the recipe by flags', async () => {
    const args = [
      '--out',
      inFolder('other'),
      '--steps',
      '3',
      '--training.warmupSteps=2',
      '--data.flip',
      'false',
    ];
    const { code, stdout } = await train(...args, '--output.logEvery', '1', '--seed', '5', '--json');
    expect(code).toBe(0);
    expect(kinds(stdout)).toEqual(['start', 'step', 'step', 'step', 'checkpoint', 'done']);
    expect(events(stdout)[1]).toMatchObject({ step: 1, learningRate: 5e-4 });
    expect(existsSync(inFolder('run'))).toBe(false);
    expect((await loadModel(inFolder('other'))).config.layers).toBe(1);
  });

  it('needs no file if flags say all', async () => {
    const model = ['--model.layers', '1', '--model.hidden', '32', '--model.heads', '1', '--model.patch', '4'];
    const data = ['--data', inFolder('data'), '--data.imageSize', '8', '--data.channels', '1'];
    const rest = ['--model.blocks', '1', '--steps', '1', '--batch', '2', '--out', inFolder('run'), '--quiet'];
    const result = await runInProcess(['train', ...model, ...data, ...rest]);
    expect(result).toEqual({ code: 0, stdout: `${inFolder('run')}\n`, stderr: '' });
  });

  it('samples grids while training, always from the same noise', async () => {
    const { stdout } = await train('--output.sampleEvery', '3', '--learning-rate', '1e-9', '--json');
    expect(kinds(stdout).filter((kind) => kind === 'samples')).toHaveLength(2);
    const [first, second] = ['step-00000003.png', 'step-00000006.png'].map((file) =>
      readFileSync(inFolder('run', 'samples', file)),
    );
    const grid = await readImage(first);
    expect(grid.height).toBe(3 * (64 + 16) + 16);
    expect(second.equals(first)).toBe(true);
    const [log] = readdirSync(inFolder('run', 'tensorboard'));
    expect(readFileSync(inFolder('run', 'tensorboard', log)).includes(first)).toBe(true);
  });

  it('saves when interrupted, and resumes bit for bit', async () => {
    const args = ['train', recipe, '--threads', '1', '--json', '--output.logEvery', '1'];
    const running = startCli([...args, '--steps', '1000000']);
    await running.printed('"step":3');
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.result;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    const last = events(stdout).at(-1)!;
    expect(last).toMatchObject({ kind: 'interrupted', model: inFolder('run') });
    const steps = String(last.step + 3);

    const resumed = await spawnCli([...args, '--steps', steps]);
    expect(resumed.code).toBe(0);
    expect(events(resumed.stdout)[0]).toMatchObject({ kind: 'start', step: last.step });
    const straight = await train('--out', inFolder('straight'), '--steps', steps, '--output.logEvery', '1');
    expect(straight.code).toBe(0);
    const weights = (run: string) => readFileSync(inFolder(run, 'model.safetensors'));
    expect(weights('run').equals(weights('straight'))).toBe(true);
    const losses = (run: string) =>
      readMetrics(inFolder(run, 'metrics.jsonl')).map(({ step, loss }) => [step, loss]);
    expect(losses('run')).toEqual(losses('straight'));
  });

  it('says when there is nothing left to do', async () => {
    await train('--quiet');
    const { code, stderr } = await train();
    expect(code).toBe(0);
    expect(stderr).toContain('is already trained to step 6');
  });

  it('discards a run only when asked', async () => {
    await train('--quiet');
    const before = readFileSync(inFolder('run', 'metrics.jsonl'));
    expectBadInput(await train('--fresh'), 'already holds a run', '--fresh --overwrite', '--out');
    expectBadInput(await train('--overwrite'), '--overwrite only goes with --fresh');
    expect(readFileSync(inFolder('run', 'metrics.jsonl')).equals(before)).toBe(true);
    const { code, stdout } = await train('--fresh', '--overwrite', '--steps', '2', '--json');
    expect(code).toBe(0);
    expect(events(stdout)[0]).toMatchObject({ kind: 'start', step: 0 });
    expect(readMetrics(inFolder('run', 'metrics.jsonl')).map(({ step }) => step)).toEqual([2]);
    expect(readdirSync(inFolder('run', 'trainer'))).toEqual(['step-00000002.safetensors']);
  });
});

describe('acdit train with bad input', () => {
  it('names what is wrong with a recipe', async () => {
    expectBadInput(await runInProcess(['train']), 'needs a RECIPE.json');
    expectBadInput(await runInProcess(['train', 'none.json']), 'recipe none.json cannot be read (ENOENT)');
    expectBadInput(
      await train('--training.stepz', '3'),
      "unknown key 'training.stepz'; did you mean 'steps'?",
    );
    expectBadInput(await train('--steps', 'many'), 'training.steps');
    expectBadInput(await train('--modle.size', 'B'), 'unknown flag --modle.size');
    expectBadInput(await train('--model.blocks', '3'), 'do not divide into 3 blocks');
    writeFileSync(recipe, '{"model": }');
    expectBadInput(await train(), 'recipe.json: not valid JSON');
    writeFileSync(recipe, '[]');
    expectBadInput(await train(), 'a recipe is a JSON object');
    expect(existsSync(inFolder('run'))).toBe(false);
  });

  it('names what is wrong with the data', async () => {
    mkdirSync(inFolder('empty'));
    expectBadInput(await train('--data', inFolder('none')), 'none: does not exist');
    expectBadInput(await train('--data', inFolder('empty')), 'empty');
    writeFileSync(inFolder('data', 'train-images-idx3-ubyte.gz'), 'no gzip');
    expectBadInput(await train(), 'train-images-idx3-ubyte.gz');
  });

  it('skips corrupt images with a warning and counts them', async () => {
    for (let i = 0; i < 30; i++)
      await writePng(inFolder('images', `class${i % 2}`, `${i}.png`), noiseImage(8, 8, 1));
    writeFileSync(inFolder('images', 'class0', '0.png'), 'corrupt');
    const args = ['--data', inFolder('images'), '--steps', '8', '--output.logEvery', '8', '--json'];
    const { code, stdout, stderr } = await train(...args);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: .*0\.png/);
    expect(events(stdout).at(-1)).toMatchObject({ kind: 'done', corruptFiles: 1 });
  });

  it('stops with the step and what to try when the loss is no longer a number', async () => {
    const { code, stderr } = await train(
      '--learning-rate',
      '1e30',
      '--training.clip',
      '1e30',
      '--steps',
      '50',
    );
    expect(code).toBe(2);
    expect(lastLine(stderr)).toMatch(/step \d+: the loss is (NaN|Infinity).*Try a lower learningRate/);
  });

  it('refuses to resume with another recipe, and names what differs', async () => {
    await train('--quiet');
    expectBadInput(
      await train('--steps', '9', '--batch', '2'),
      'was trained with a different recipe: training.batch was 4 and is now 2. ',
    );
    const change = ['--steps', '9', '--learning-rate', '0.01'];
    expectBadInput(await train(...change), '--allow-change training.learningRate');
    expectBadInput(await train('--allow-change', 'training.seed'), '--allow-change must be one of');
    const { code, stdout } = await train(...change, '--allow-change', 'training.learningRate', '--json');
    expect(code).toBe(0);
    expect(events(stdout)[0]).toMatchObject({ kind: 'start', step: 6 });
  });

  it('refuses to resume when a class folder was renamed or added', async () => {
    const picture = noiseImage(8, 8, 1);
    for (const name of ['cat', 'dog']) await writePng(inFolder('images', name, '0.png'), picture);
    const args = ['--data', inFolder('images'), '--quiet'];
    expect((await train(...args)).code).toBe(0);
    renameSync(inFolder('images', 'cat'), inFolder('images', 'zebra'));
    expectBadInput(
      await train(...args, '--steps', '9'),
      "class 0 was 'cat' and is now 'dog', class 1 was 'dog' and is now 'zebra'",
    );
    await writePng(inFolder('images', 'cat', '0.png'), picture);
    expectBadInput(await train(...args, '--steps', '9'), "2 classes then, 3 now ('zebra' is new)");
  });

  it('begins as another model only where its classes keep their labels', async () => {
    const picture = noiseImage(8, 8, 1);
    for (const name of ['cat', 'dog']) await writePng(inFolder('images', name, '0.png'), picture);
    expect((await train('--data', inFolder('images'), '--quiet')).code).toBe(0);
    const next = ['--training.initFrom', inFolder('run'), '--out', inFolder('next'), '--quiet', '--data'];
    for (const name of ['ant', 'cat']) await writePng(inFolder('moved', name, '0.png'), picture);
    expectBadInput(
      await train(...next, inFolder('moved')),
      "class 'cat' is number 0 in the model and 1 in the data",
    );
    for (const name of ['a', 'b', 'c']) await writePng(inFolder('more', name, '0.png'), picture);
    expectBadInput(await train(...next, inFolder('more')), 'the model has 2 classes, the data 3');
    for (const name of ['bag', 'shirt']) await writePng(inFolder('others', name, '0.png'), picture);
    expect((await train(...next, inFolder('others'))).code).toBe(0);
  });
});
