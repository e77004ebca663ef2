import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { encodeNpy, parseNpy } from '../../src/formats/npy.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { readImage } from '../../src/media/image.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import {
  type CliResult,
  expectBadInput,
  lastLine,
  runInProcess,
  spawnCli,
  startCli,
} from '../support/cli.ts';
import { golden, relativeError } from '../support/golden.ts';
import { checkpoint, pickle, reduce, text, tuple } from '../support/pickle-writer.ts';
import { folderOfEachTest } from '../support/test-folder.ts';
import { saveTiny, tinyLatents, tinyPixels } from '../support/tiny-model.ts';
import { saveSolver } from '../support/tiny-solver.ts';
import { visibleFiles } from '../support/visible-files.ts';

const inFolder = folderOfEachTest();
let pixels: string;
let latents: string;

beforeEach(async () => {
  pixels = await saveTiny(inFolder('pixels'), tinyPixels);
  latents = await saveTiny(inFolder('latents'), tinyLatents);
});

const sample = (...args: string[]): Promise<CliResult> => runInProcess(['sample', ...args]);
/** What `--latents` wrote. */
const npy = (name: string) => parseNpy(readFileSync(inFolder(name)));

describe('acdit sample', () => {
  it('writes a picture each and a grid, whose path it prints last', async () => {
    const args = ['sample', 'pixels', '--labels', 'bag,0,Sneaker', '--per-class', '2', '--steps', '2'];
    const { code, stdout } = await spawnCli(args, inFolder());
    expect(code).toBe(0);
    expect(lastLine(stdout)).toBe(join('samples', 'grid.png'));
    expect(visibleFiles(inFolder('samples'))).toEqual([
      '000-bag.png',
      '001-bag.png',
      '002-t-shirt-top.png',
      '003-t-shirt-top.png',
      '004-sneaker.png',
      '005-sneaker.png',
      'grid.png',
    ]);
    const single = await readImage(inFolder('samples', '000-bag.png'));
    expect(single).toMatchObject({ width: 8, height: 8, channels: 1 });
    // Three rows of two pictures of 8 x 8, eight times enlarged, padded by 16, with names at the left.
    const grid = await readImage(inFolder('samples', 'grid.png'));
    expect(grid.height).toBe(3 * (64 + 16) + 16);
    expect(grid.width).toBeGreaterThan(2 * (64 + 16) + 16 + 'T-shirt/top'.length * 6);
  });

  it('samples eight of each class of a small model by default', async () => {
    const { stdout } = await sample(pixels, '--steps', '1', '--out', inFolder('out'), '--json');
    const report = JSON.parse(stdout);
    expect(report.samples.map(({ label }: { label: number }) => label)).toEqual(
      [0, 1, 2].flatMap((label) => Array(8).fill(label)),
    );
    expect(report).toMatchObject({ steps: 1, cfg: 1.5, seed: 42, grid: inFolder('out', 'grid.png') });
  });

  it('divides --count among the labels', async () => {
    const { stdout } = await sample(
      pixels,
      '--count',
      '4',
      '--steps',
      '1',
      '--out',
      inFolder('out'),
      '--json',
    );
    const names = JSON.parse(stdout).samples.map(({ name }: { name: string }) => name);
    expect(names).toEqual(['T-shirt/top', 'T-shirt/top', 'Sneaker', 'Bag']);
  });

  it.each(['dpm-solver-plus-plus-2m', 'ddim'])(
    'gives the same with any batch size, by %s',
    async (solver) => {
      const common = [pixels, '--labels', '0,1,2,1,0', '--steps', '3', '--solver', solver, '--no-decode'];
      await sample(...common, '--batch', '5', '--latents', inFolder('whole.npy'));
      await sample(...common, '--batch', '2', '--latents', inFolder('parts.npy'));
      await sample(...common, '--seed', '43', '--latents', inFolder('other.npy'));
      expect(npy('whole.npy').shape).toEqual([5, 4, 4, 4]);
      expect(relativeError(npy('parts.npy'), npy('whole.npy'))).toBeLessThan(1e-5);
      expect(relativeError(npy('other.npy'), npy('whole.npy'))).toBeGreaterThan(0.01);
    },
  );

  it('starts from injected noise; the same as the seed makes', async () => {
    const draws = [0, 1].flatMap((index) => [...Generator.seeded(7, index).randn(4 * 4 * 4)]);
    writeFileSync(inFolder('noise.npy'), encodeNpy(float32([2, 4, 4, 4], draws)));
    const common = [pixels, '--labels', '2,0', '--steps', '2', '--out', inFolder('out')];
    await sample(...common, '--noise', inFolder('noise.npy'), '--latents', inFolder('injected.npy'));
    await sample(...common, '--seed', '7', '--latents', inFolder('seeded.npy'));
    expect(npy('injected.npy')).toEqual(npy('seeded.npy'));
  });

  it('computes in 8 bits, and says so', async () => {
    const record = async (...args: string[]) =>
      JSON.parse((await sample(...common, ...args, '--json')).stdout);
    const common = [pixels, '--labels', '2', '--steps', '2', '--out', inFolder('out')];
    const exact = await record('--latents', inFolder('exact.npy'));
    const rounded = await record('--latents', inFolder('rounded.npy'), '--precision', 'int8');
    expect(exact.precision).toBe('fp32');
    expect(exact).not.toHaveProperty('int8Share');
    expect(rounded.precision).toBe('int8');
    // A token passes 8 C^2 weights in each layer, and 2 C 4 at both ends of the model.
    const { hidden, layers } = tinyPixels;
    const inLayers = layers * 8 * hidden ** 2;
    expect(rounded.int8Share).toBeCloseTo(inLayers / (inLayers + 2 * hidden * 4), 10);
    const [a, b] = [npy('exact.npy').data, npy('rounded.npy').data];
    expect(b).not.toEqual(a);
    expect(relativeError(npy('rounded.npy'), npy('exact.npy'))).toBeLessThan(0.1);
  });

  it('does not resume a file of another precision', async () => {
    const npz = (precision: string) =>
      sample(
        pixels,
        '--npz',
        inFolder('s.npz'),
        '--per-class',
        '1',
        '--steps',
        '2',
        '--precision',
        precision,
      );
    expect((await npz('int8')).code).toBe(0);
    expectBadInput(await npz('fp32'), 'precision');
  });

  it('reaches the official latents with the flags of the official script', async () => {
    const numbers = ['sample.noise', 'sample.latents'];
    const npz = await openNpz(await openFile(golden('image-tiny.npz')));
    const [noise, expected] = await Promise.all(numbers.map((name) => npz.read(name)));
    await npz.close();
    writeFileSync(inFolder('noise.npy'), encodeNpy(noise));
    const { code } = await sample(
      ...[
        '--ckpt',
        golden('image-tiny.pt'),
        '--vae_path',
        'none',
        '--sample_step',
        '25',
        '--global_seed',
        '1',
      ],
      ...['--labels', '3,7', '--cfg', '1.5', '--noise', inFolder('noise.npy')],
      ...['--latents', inFolder('out.npy'), '--no-decode'],
    );
    expect(code).toBe(0);
    expect(relativeError(npy('out.npy'), expected)).toBeLessThan(1e-3);
  });

  it('makes no folder for latents alone that go elsewhere', async () => {
    const args = ['--labels', '0', '--steps', '1', '--no-decode', '--out', inFolder('unused')];
    const { code } = await sample(pixels, ...args, '--latents', inFolder('alone.npy'));
    expect(code).toBe(0);
    expect([existsSync(inFolder('alone.npy')), existsSync(inFolder('unused'))]).toEqual([true, false]);
  });

  it('takes steps, guidance and labels by block', async () => {
    const args = ['--labels', '0/0/bag/none', '--steps', '3/2/1/2', '--cfg', '1/2/2/1.5'];
    const { code, stdout } = await sample(pixels, ...args, '--out', inFolder('out'), '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ steps: [3, 2, 1, 2], cfg: [1, 2, 2, 1.5] });
    expect(report.samples).toEqual([
      expect.objectContaining({ label: [0, 0, 2, 3], name: 'T-shirt/top / T-shirt/top / Bag / none' }),
    ]);
  });

  it('writes the latents of a latent-space model', async () => {
    const { code, stdout } = await sample(latents, '--steps', '1', '--no-decode', '--out', inFolder('out'));
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${inFolder('out', 'latents.npy')}\n` });
    expect(npy(join('out', 'latents.npy')).shape).toEqual([3, 4, 4, 16]);
    expect(visibleFiles(inFolder('out'))).toEqual(['latents.npy']);
  });

  it('makes a video of each clip, with the guidance of video models', async () => {
    const video = {
      ...tinyPixels,
      frames: 2,
      blocks: 2,
      blockSize: 16,
      squareBlocks: false,
      positionSplit: [2, 1, 1],
    };
    const model = await saveTiny(inFolder('video'), video);
    const { stdout } = await sample(
      model,
      '--count',
      '3',
      '--steps',
      '1',
      '--out',
      inFolder('out'),
      '--json',
    );
    const report = JSON.parse(stdout);
    expect(report.cfg).toBe(2.5);
    expect(report.samples[2].file).toBe(inFolder('out', '002-bag.mp4'));
  });

  it('takes other timesteps, spaced or listed, and reports them', async () => {
    const run = async (name: string, ...args: string[]) => {
      const out = ['--out', inFolder(name), '--latents', inFolder(`${name}.npy`), '--json'];
      const { stdout } = await sample(pixels, '--labels', '0', ...args, ...out);
      return JSON.parse(stdout);
    };
    const uniform = await run('uniform', '--steps', '3');
    expect(uniform).toMatchObject({ steps: 3, timesteps: 'uniform' });
    expect(await run('listed', '--timesteps', '999,666,333')).toMatchObject({
      steps: 3,
      timesteps: [999, 666, 333],
    });
    expect(await run('blocks', '--timesteps', '999,5/999/999/999')).toMatchObject({
      steps: [2, 1, 1, 1],
      timesteps: [[999, 5], [999], [999], [999]],
    });
    expect(await run('spaced', '--timesteps', 'logsnr', '--steps', '3')).toMatchObject({
      steps: 3,
      timesteps: 'logsnr',
    });
    // DPM-Solver++ visits 999, 666 and 333 by itself.
    expect(npy('listed.npy')).toEqual(npy('uniform.npy'));
    for (const name of ['blocks', 'spaced']) expect(npy(`${name}.npy`)).not.toEqual(npy('uniform.npy'));
  });

  it('guides at some noise levels, and counts the passes', async () => {
    const guided = { ...tinyPixels, guidance: { scale: 3, interval: [-5, 5] as const } };
    const model = await saveTiny(inFolder('guided'), guided);
    const report = async (...args: string[]) => {
      const { stdout, stderr } = await sample(
        ...[model, '--labels', '0', '--steps', '3', '--out', inFolder('out'), '--json', ...args],
      );
      expect(stderr).toBe('');
      return JSON.parse(stdout);
    };
    // Timesteps 999, 666 and 333 have ratios of -10.1, -4.5 and -0.8.
    expect(await report()).toMatchObject({ cfg: 3, guidance: guided.guidance, passes: [5, 5, 5, 5] });
    const alone = await report('--cfg', '2');
    expect(alone).toMatchObject({ cfg: 2, passes: [6, 6, 6, 6] });
    expect(alone).not.toHaveProperty('guidance');
    expect(await report('--guidance-interval', '-2,2')).toMatchObject({
      guidance: { scale: 3, interval: [-2, 2] },
      passes: [4, 4, 4, 4],
    });
    expect(await report('--guidance-schedule', 'linear', '--cfg', '2')).toMatchObject({
      guidance: { scale: 2, schedule: 'linear' },
      passes: [6, 6, 6, 6],
    });
  });

  it('samples by presets, whose values are replaced by what is given', async () => {
    const model = await saveTiny(inFolder('fast'), { ...tinyPixels, preset: 'fast' });
    await saveSolver(model, [3, 5], { scale: 2, interval: [-2, 6] });
    const run = async (...args: string[]) => {
      const all = [model, '--labels', '0', '--out', inFolder('out'), ...args];
      return { ...(await sample(...all)), report: JSON.parse((await sample(...all, '--json')).stdout) };
    };
    const byDefault = await run();
    expect(byDefault.report).toMatchObject({
      ...{ preset: 'fast', steps: 3, solver: 'tuned', cfg: 2, passes: [4, 4, 4, 4] },
      guidance: { scale: 2, interval: [-2, 6] },
    });
    expect(byDefault.stderr).toContain('preset fast: 3 steps of the tuned solver, 4 passes per block');
    const asked = await run('--preset', 'fast', '--cfg', '3');
    expect(asked.report).toMatchObject({ solver: 'tuned', cfg: 3, passes: [6, 6, 6, 6] });
    expect(asked.stderr).not.toContain('preset fast');
    expect((await run('--preset', 'exact', '--steps', '2')).report).toMatchObject({
      ...{ preset: 'exact', steps: 2, solver: 'dpm-solver-plus-plus-2m', cfg: 1.5 },
    });
    expect((await run('--steps', '2')).report).toMatchObject({ preset: 'exact', steps: 2, cfg: 1.5 });
    expectBadInput(
      await sample(model, '--labels', '0', '--preset', 'fast', '--steps', '4'),
      '--steps must be one of 3, 5, which the tuned solver was fitted for, got 4',
    );
    expectBadInput(await sample(pixels, '--preset', 'fast'), 'there is no tuned solver for this model');
  });

  it('keeps finished pictures when interrupted', async () => {
    const args = ['sample', pixels, '--per-class', '200', '--batch', '1', '--steps', '50', '--json'];
    const running = startCli([...args, '--out', inFolder('out')]);
    const pictures = (): string[] => readdirSync(inFolder('out')).filter((name) => /^\d.*\.png$/.test(name));
    while (!readdirSync(inFolder()).includes('out') || pictures().length < 2) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    running.child.kill('SIGINT');
    const { code, stdout, stderr } = await running.result;
    expect({ code, stderr }).toEqual({ code: 130, stderr: '' });
    const { samples, grid } = JSON.parse(stdout);
    expect(samples.length).toBeLessThan(600);
    expect(visibleFiles(inFolder('out'))).toHaveLength(samples.length + 1);
    expect((await readImage(grid)).height).toBeGreaterThan(0);
  });
});

describe('acdit sample with classes whose names are numbers', () => {
  it('takes names first, and notes which class was taken', async () => {
    const model = await saveTiny(inFolder('numbered'), { ...tinyPixels, classNames: ['1', '10', 'a, b'] });
    const args = ['--steps', '1', '--json', '--labels'];
    const run = (labels: string) =>
      sample(model, '--out', inFolder(labels.length.toString()), ...args, labels);
    const { code, stdout, stderr } = await run('1,10,2,"A, B"');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).samples.map(({ label }: { label: number }) => label)).toEqual([0, 1, 2, 2]);
    expect(stderr).toBe(
      "note: '1' is taken as the class named '1' (number 0), not as class number 1 ('10')\n",
    );
    expectBadInput(await run('A, C'), "unknown class 'A'", `--labels '"a, b"'`);
  });
});

describe('acdit sample with bad input', () => {
  it.each([
    [['--labels', '3'], 'label 3 is outside 0 to 2'],
    [['--labels', '0,-1'], 'label -1 is outside 0 to 2'],
    [['--labels', 'sneeker'], "unknown class 'sneeker'; did you mean 'Sneaker'?"],
    [['--labels', '0/1'], "--labels '0/1' has 2 values; give one, or one for each of 4 blocks"],
    [['--labels', '0,,1'], "'0,,1' has an empty part"],
    [['--preset', 'slow'], "--preset must be one of exact, fast, got 'slow'"],
    [['--steps', '0'], "--steps must be a whole number of at least 1, got '0'"],
    [['--steps', '1.5'], "got '1.5'"],
    [['--steps', '1001'], '1001'],
    [['--steps', '3/3'], '--steps must be one value, or one for each of 4 blocks, got 2'],
    [
      ['--timesteps', 'logSNR'],
      "uniform, logsnr, or timesteps such as 999,700,400,100, got 'logSNR'; did you",
    ],
    [['--timesteps', '999,,1'], "--timesteps must be a whole number of at least 0, got ''"],
    [['--timesteps', '1000,1'], '--timesteps must be whole numbers from 999 to 0, each below the one before'],
    [['--timesteps', '20,30'], 'got 30 after 20'],
    [['--timesteps', '9/8'], '--timesteps must be one list, or one for each of 4 blocks, got 2'],
    [
      ['--timesteps', '99,9', '--steps', '3'],
      '--steps must be 2, as many as there are timesteps, or left out',
    ],
    [['--cfg', 'high'], "--cfg must be a number of at least 0, got 'high'"],
    [['--cfg', '-1'], "got '-1'"],
    [
      ['--guidance-interval', '2,-3'],
      '--guidance-interval must be two log signal-to-noise ratios, the lower first',
    ],
    [['--guidance-interval', '1'], 'the lower first, such as -3.6, 1.8, got 1'],
    [['--guidance-interval', 'a,b'], "--guidance-interval must be a number such as -3.6, got 'a'"],
    [['--guidance-interval', '8,9', '--steps', '3'], 'of some step, which are -10.12 to -0.76, got 8, 9'],
    [['--guidance-schedule', 'linar'], 'did you mean linear?'],
    [
      ['--guidance-schedule', 'linear', '--cfg', '1/2/3/4'],
      '--guidance-schedule must be left out if there is',
    ],
    [['--seed', 'x'], '--seed must be a whole number'],
    [['--solver', 'ddip'], 'did you mean ddim?'],
    [['--precision', 'fp16'], '--precision fp16 is not available on cpu, which computes in fp32 or int8'],
    [
      ['--device', 'cuda', '--precision', 'int8'],
      '--precision int8 is not available on cuda, which computes in fp32 or fp16',
    ],
    [['--precision', 'int4'], "--precision must be one of fp32, fp16, int8, got 'int4'"],
    [['--device', 'cuda'], 'device cuda is not available here'],
    [['--device', 'gpu'], '--device must be one of'],
    [['--threads', '0'], '--threads must be a whole number'],
    [['--count', '3', '--per-class', '2'], '--count and --per-class exclude each other'],
    [['--count', '0'], '--count must be'],
    [['--batch', '0'], '--batch must be'],
    [['--vae', 'vae'], '--vae decodes latents, but this model makes pixels'],
    [['--ckpt', 'other'], 'both MODEL'],
    [['--latents', 'model.pt'], "--latents names a file to write, which must end in .npy, got 'model.pt'"],
  ])('%j', async (args, message) => {
    expectBadInput(await sample(pixels, '--out', inFolder('out'), ...args), message);
    expect(readdirSync(inFolder())).not.toContain('out');
  });

  it('says in one line that a GPU is missing, whatever its libraries print', async () => {
    const { code, stderr } = await spawnCli(['sample', pixels, '--device', 'cuda', '--out', inFolder('out')]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^acdit: device cuda is not available.*\n$/);
  });

  it('says what to do with a model of latents', async () => {
    expectBadInput(await sample(latents), '--vae DIR', 'config.json', '--latents F.npy --no-decode');
    expectBadInput(
      await sample(latents, '--labels', 'bag', '--no-decode'),
      'have no names; give numbers from 0 to 2',
    );
  });

  it('names both shapes of noise that does not fit, and noise that is none', async () => {
    writeFileSync(inFolder('noise.npy'), encodeNpy(float32([1, 4, 4, 3], new Float32Array(48))));
    writeFileSync(inFolder('text.npy'), 'no array');
    const withNoise = (name: string) => sample(pixels, '--labels', '0', '--noise', inFolder(name));
    expectBadInput(await withNoise('noise.npy'), 'must have shape [1,4,4,4]', 'got [1,4,4,3]');
    expectBadInput(await withNoise('text.npy'), 'text.npy', 'not a .npy file');
    expectBadInput(await withNoise('missing.npy'), 'missing.npy cannot be read (ENOENT)');
  });

  it('refuses models that are missing, truncated, foreign or malicious', async () => {
    const weights = join(pixels, 'model.safetensors');
    const bytes = readFileSync(weights);
    expectBadInput(await sample(inFolder('none')), 'none: no such model');
    expectBadInput(await sample(golden('pickle-zoo.pt')), 'not an ACDiT');
    const malicious = pickle(reduce('os', 'system', tuple(text(`touch ${inFolder('broken-in')}`))));
    writeFileSync(inFolder('malicious.pt'), await checkpoint(malicious));
    expectBadInput(await sample(inFolder('malicious.pt')), 'os.system');
    expect(readdirSync(inFolder())).not.toContain('broken-in');
    writeFileSync(inFolder('text.pt'), 'hello');
    expectBadInput(await sample(inFolder('text.pt')), 'text.pt');
    writeFileSync(weights, bytes.subarray(0, bytes.length - 100));
    expectBadInput(await sample(pixels, '--labels', '0'), 'model.safetensors');
    writeFileSync(join(pixels, 'config.json'), '{"modelType": "gpt"}');
    expectBadInput(await sample(pixels), 'not the configuration of an ACDiT');
  });

  it('says that a folder cannot be made', async () => {
    writeFileSync(inFolder('file'), '');
    expectBadInput(await sample(pixels, '--out', inFolder('file', 'out')), 'file');
    mkdirSync(inFolder('taken.npy'));
    const args = ['--labels', '0', '--steps', '1', '--no-decode', '--out', inFolder('out')];
    const { code, stderr } = await sample(pixels, ...args, '--latents', inFolder('taken.npy'));
    expect(code).toBe(2);
    expect(lastLine(stderr)).toContain('exists and is a folder');
  });
});
