// @module-tag slow

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Metrics } from '../../src/evaluation/evaluate.ts';
import { encodeNpy } from '../../src/formats/npy.ts';
import { encodeZip } from '../../src/formats/zip.ts';
import { type Channels, writePng } from '../../src/media/image.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { elementCount, float32, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { lastLine, runInProcess } from '../support/cli.ts';
import { formulaInceptionFile } from '../support/formula-inception.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const weights = await formulaInceptionFile();

/** Noise, as images (N, H, W, C) or (N, H, W). */
function noise(shape: readonly number[], seed: number): Tensor<'uint8'> {
  return tensor('uint8', shape, Uint8Array.from(Generator.seeded(seed).randint(0, 256, elementCount(shape))));
}

async function arrayFile(arrays: Record<string, Tensor>, compress = false): Promise<string> {
  const path = join(temporaryFolder(), 'set.npz');
  const members = Object.entries(arrays).map(([name, value]): [string, Uint8Array] => [
    `${name}.npy`,
    encodeNpy(value),
  ]);
  await writeFile(path, await encodeZip(members, compress));
  return path;
}

/** The images as PNG files, whose names are in order, half of them in a folder of their own. */
async function imageFolder({ shape, data }: Tensor<'uint8'>): Promise<string> {
  const folder = temporaryFolder();
  const [count, height, width, channels = 1] = shape;
  const size = height * width * channels;
  for (let i = 0; i < count; i++) {
    const path = join(folder, i < count / 2 ? 'a' : 'b', `${String(i).padStart(3, '0')}.png`);
    await writePng(path, {
      width,
      height,
      channels: channels as Channels,
      data: data.slice(i * size, (i + 1) * size),
    });
  }
  return folder;
}

const run = (args: readonly string[]) => runInProcess(['evaluate', ...args, `--inception=${weights}`]);

async function metricsOf(args: readonly string[]): Promise<Metrics> {
  const { code, stdout, stderr } = await run([...args, '--json', '--kid-subsets=0']);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

/** Equal up to the order in which a batch's sums are added. */
function expectSame(metrics: Metrics, expected: Metrics): void {
  expect(Object.keys(metrics).sort()).toEqual(Object.keys(expected).sort());
  for (const [key, value] of Object.entries(expected)) {
    if (key === 'protocol') expect(metrics[key as 'fid']).toEqual(value);
    else expect(metrics[key as 'fid'], key).toBeCloseTo(value as number, 5);
  }
}

describe('acdit evaluate of images', () => {
  it('gives the same numbers for a file, compressed or not, and for a folder', async () => {
    const [reference, samples] = [noise([9, 20, 24, 3], 1), noise([7, 31, 17, 3], 2)];
    const expected = await metricsOf([
      await arrayFile({ arr_0: reference }),
      await arrayFile({ arr_0: samples }),
    ]);
    expect(Object.keys(expected).sort()).toEqual(
      [
        'coverage',
        'density',
        'fid',
        'inceptionScore',
        'kid',
        'precision',
        'protocol',
        'recall',
        'sfid',
      ].sort(),
    );
    expect(expected.fid).toBeGreaterThan(0);
    expect(expected.sfid).toBeGreaterThan(0);
    const compressed = await arrayFile({ arr_0: samples, arr_1: noise([7], 3) }, true);
    expectSame(await metricsOf([await imageFolder(reference), compressed]), expected);
  });

  it('takes grey images for RGB ones of equal channels', async () => {
    const grey = noise([4, 20, 20], 4);
    const rgb = tensor(
      'uint8',
      [4, 20, 20, 3],
      Uint8Array.from({ length: 4800 }, (_, i) => grey.data[Math.floor(i / 3)]),
    );
    const { fid, sfid } = await metricsOf([
      await arrayFile({ arr_0: grey }),
      await arrayFile({ arr_0: rgb }),
    ]);
    expect(fid).toBeCloseTo(0, 6);
    expect(sfid).toBeCloseTo(0, 6);
    const folder = await metricsOf([await imageFolder(grey), await arrayFile({ arr_0: rgb })]);
    expect(folder.fid).toBeCloseTo(0, 6);
  });

  it('keeps features, which then stand for the images', async () => {
    const [reference, samples] = await Promise.all(
      [5, 6].map((seed) => arrayFile({ arr_0: noise([6, 16, 16, 3], seed) })),
    );
    const saved = ['reference', 'samples'].map((name) => join(temporaryFolder(), 'new', `${name}.npz`));
    const expected = await metricsOf([
      reference,
      samples,
      `--save-reference=${saved[0]}`,
      `--save-features=${saved[1]}`,
    ]);
    const { code, stdout, stderr } = await runInProcess(['evaluate', ...saved, '--json', '--kid-subsets=0']);
    expect(code, stderr).toBe(0);
    expectSame(JSON.parse(stdout), expected);
    // Features of one way to prepare images, with those of the other.
    const other = await run([saved[0], samples, '--preprocessing=pytorch-fid']);
    expect(other.code).toBe(2);
    expect(lastLine(other.stderr)).toContain("of the network 'inception-2015-12-05/pytorch-fid'");
  });

  it('takes statistics stored beside a reference for its own, and its images for the rest', async () => {
    const stored = {
      mu: tensor('float64', [2048], new Float64Array(2048).fill(3)),
      sigma: zeros('float64', [2048, 2048]),
    };
    const images = noise([6, 16, 16, 3], 7);
    const samples = await arrayFile({ arr_0: noise([6, 16, 16, 3], 8) });
    const withStatistics = await metricsOf([await arrayFile({ ...stored, arr_0: images }), samples]);
    const without = await metricsOf([await arrayFile({ arr_0: images }), samples]);
    expect(withStatistics.precision).toBe(without.precision);
    expect(withStatistics.kid).toBeCloseTo(without.kid!, 9);
    expect(withStatistics.fid).toBeGreaterThan(without.fid! + 1000);
    expect(withStatistics.sfid).toBeUndefined();
    // Without images and a name, as pytorch-fid stores them.
    const { stderr, stdout } = await run([await arrayFile(stored), samples, '--json']);
    expect(stderr).toContain("they are taken for those of 'inception-2015-12-05'");
    expect(JSON.parse(stdout).fid).toBeCloseTo(withStatistics.fid!, 6);
  });

  it('says which weights are missing, where they are had, and how to give them', async () => {
    const images = await arrayFile({ arr_0: noise([2, 8, 8, 3], 9) });
    const before = { ...process.env };
    Object.assign(process.env, { TORCH_HOME: temporaryFolder(), ACDIT_INCEPTION: '' });
    try {
      const { code, stderr } = await runInProcess(['evaluate', images, images]);
      expect(code).toBe(2);
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
      for (const part of ['pt_inception-2015-12-05-6726825d.pth', '6726825d...', 'https://', '--inception']) {
        expect(stderr).toContain(part);
      }
      process.env.ACDIT_INCEPTION = 'elsewhere.pth';
      expect((await runInProcess(['evaluate', images, images])).stderr).toContain(
        'elsewhere.pth: there is no such file',
      );
      const kept = join(process.env.TORCH_HOME!, 'hub', 'checkpoints');
      await mkdir(kept, { recursive: true });
      await writeFile(join(kept, 'weights-inception-2015-12-05-6726825d.pth'), 'not weights');
      process.env.ACDIT_INCEPTION = '';
      expect((await runInProcess(['evaluate', images, images])).stderr).toContain(
        'weights-inception-2015-12-05-6726825d.pth: is not a PyTorch checkpoint',
      );
    } finally {
      process.env = before;
    }
  });

  it('refuses bad images in one line', async () => {
    const good = await arrayFile({ arr_0: noise([2, 8, 8, 3], 10) });
    const mixed = await imageFolder(noise([2, 8, 8, 3], 11));
    await writePng(join(mixed, 'c', 'other.png'), {
      width: 9,
      height: 8,
      channels: 3,
      data: new Uint8Array(216),
    });
    const corrupt = await imageFolder(noise([2, 8, 8, 3], 12));
    await writeFile(join(corrupt, 'b', 'broken.png'), 'no image');
    const empty = temporaryFolder();
    await writeFile(join(empty, 'readme.txt'), 'no image');
    const whole = await encodeZip([['arr_0.npy', encodeNpy(noise([40, 8, 8, 3], 13))]], false);
    const files = temporaryFolder();
    await writeFile(join(files, 'cut.npz'), whole.subarray(0, whole.length - 100));
    const spoiled = whole.slice();
    spoiled[2000] ^= 1;
    await writeFile(join(files, 'spoiled.npz'), spoiled);
    const short = encodeNpy(noise([4, 8, 8, 3], 14)).subarray(0, 128 + 500);
    await writeFile(join(files, 'short.npz'), await encodeZip([['arr_0.npy', short]], false));
    const fortran = Buffer.from(encodeNpy(noise([4, 8, 8, 3], 15)));
    fortran.write('True ', fortran.indexOf('False'));
    await writeFile(join(files, 'fortran.npz'), await encodeZip([['arr_0.npy', fortran]], false));
    const cases: [string, string][] = [
      [await arrayFile({ images: noise([2, 8, 8, 3], 16) }), "holds no images 'arr_0'"],
      [
        await arrayFile({ arr_0: float32([2, 8, 8, 3], new Float32Array(384)) }),
        'of uint8, 0 to 255, got float32',
      ],
      [await arrayFile({ arr_0: noise([2, 3, 8, 8], 17) }), 'numpy.moveaxis'],
      [await arrayFile({ arr_0: noise([2, 8, 8, 4], 18) }), 'got [2,8,8,4]'],
      [await arrayFile({ arr_0: noise([0, 8, 8, 3], 19) }), 'got [0,8,8,3]'],
      [await arrayFile({ arr_0: noise([8, 8], 20) }), 'got [8,8]'],
      [mixed, 'other.png: is 9 x 8 but a/000.png is 8 x 8; all must be of one size. Crop each to a square'],
      [corrupt, 'broken.png: not a readable image'],
      [empty, 'holds no images'],
      [join(files, 'cut.npz'), 'is cut off'],
      [join(files, 'spoiled.npz'), 'spoiled.npz/arr_0.npy'],
      [join(files, 'short.npz'), 'ends before row 4 of 4'],
      [join(files, 'fortran.npz'), 'Fortran order'],
    ];
    for (const [path, message] of cases) {
      const { code, stdout, stderr } = await run([good, path, '--json']);
      expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }, message).toEqual({
        code: 2,
        stdout: '',
        lines: 1,
      });
      expect(stderr).toContain(message);
    }
    const damaged = await runInProcess(['evaluate', good, good, `--inception=${join(files, 'cut.npz')}`]);
    expect(damaged.code).toBe(2);
    expect(lastLine(damaged.stderr)).toContain('cut.npz');
    const unknown = await run([good, good, '--preprocessing=tf2']);
    expect(lastLine(unknown.stderr)).toContain('must be one of adm, pytorch-fid');
  });
});
