import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { encodeNpy } from '../../src/formats/npy.ts';
import { encodeNpz } from '../../src/formats/npz.ts';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import { encodeZip } from '../../src/formats/zip.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32, type Tensor, tensor, zeros } from '../../src/tensor/tensor.ts';
import { lastLine, runInProcess } from '../support/cli.ts';
import { frameGrey, writeClip } from '../support/clip-files.ts';
import { hasFfmpeg } from '../support/ffmpeg.ts';
import { formulaTensor } from '../support/formula-weights.ts';
import { i3dStateDict } from '../support/i3d-weights.ts';
import { npyText } from '../support/npy-text.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

vi.stubEnv('ACDIT_I3D', '');
afterAll(() => vi.unstubAllEnvs());

/** Features and texts in an npz file. */
async function featureFile(features: Tensor, texts: Record<string, string> = {}): Promise<string> {
  const path = join(temporaryFolder(), 'features.npz');
  const members = [
    ['features.npy', encodeNpy(features)],
    ...Object.entries(texts).map(([name, text]) => [`${name}.npy`, npyText(text)]),
  ] as [string, Uint8Array][];
  writeFileSync(path, await encodeZip(members, false));
  return path;
}

async function metricsOf(...args: string[]) {
  const { code, stdout, stderr } = await runInProcess(['evaluate', ...args, '--json']);
  expect(code, stderr).toBe(0);
  return { ...JSON.parse(stdout), stderr };
}

async function failure(...args: string[]): Promise<string> {
  const { code, stderr } = await runInProcess(['evaluate', ...args]);
  expect(code).toBe(2);
  return lastLine(stderr);
}

describe('acdit evaluate of features of videos', () => {
  const network = { network: 'i3d-kinetics-400' };
  const [count, dims] = [60, 6];
  const base = new Generator(0).randn(count * dims);
  const features = (of: (value: number) => number) => float32([count, dims], base.map(of));
  /** Of the covariance, with the divisor N - 1. */
  const trace = (() => {
    let sum = 0;
    for (let d = 0; d < dims; d++) {
      const column = Array.from({ length: count }, (_, n) => base[n * dims + d]);
      const mean = column.reduce((total, value) => total + value, 0) / count;
      sum += column.reduce((total, value) => total + (value - mean) ** 2, 0) / (count - 1);
    }
    return sum;
  })();
  const squaredMean = Array.from({ length: dims }, (_, d) => {
    let sum = 0;
    for (let n = 0; n < count; n++) sum += base[n * dims + d];
    return (sum / count) ** 2;
  }).reduce((total, value) => total + value, 0);

  it('is the FVD that the definition gives', async () => {
    const reference = await featureFile(
      features((value) => value),
      network,
    );
    // A shift of all dimensions by 1/2, and a doubling: traces and means say the rest.
    const shifted = await metricsOf(
      reference,
      await featureFile(
        features((value) => value + 0.5),
        network,
      ),
    );
    expect(shifted.fvd).toBeCloseTo(dims / 4, 3);
    const doubled = await featureFile(
      features((value) => 2 * value),
      network,
    );
    expect((await metricsOf(reference, doubled)).fvd).toBeCloseTo(trace + squaredMean, 4);
    const byN = await metricsOf(reference, doubled, '--divide-by-n');
    expect(byN.fvd).toBeCloseTo((trace * (count - 1)) / count + squaredMean, 4);
    expect(Object.keys(byN)).toEqual(
      expect.arrayContaining(['precision', 'recall', 'density', 'coverage', 'kid']),
    );
    expect(byN).not.toHaveProperty('protocol');
  });

  it('is called so only if both files say that they are of I3D, and warns of other protocols', async () => {
    const plain = await featureFile(features((value) => value));
    const stated = (frames: number) =>
      featureFile(
        features((value) => value),
        { ...network, protocol: `{"framesPerClip":${frames}}` },
      );
    const unnamed = await metricsOf(plain, await stated(16));
    expect(unnamed.frechetDistance).toBeCloseTo(0, 4);
    expect(unnamed).not.toHaveProperty('fvd');
    expect(unnamed.stderr).toMatch(/does not say that its features are of the FVD network/);
    const other = await metricsOf(await stated(16), await stated(32));
    expect(other.stderr).toMatch(/were prepared in different ways: framesPerClip 16 and 32/);
    expect(other.protocol).toEqual({
      covarianceDivisor: 'N - 1',
      reference: { framesPerClip: 16 },
      samples: { framesPerClip: 32 },
    });
    const table = await runInProcess(['evaluate', await stated(16), await stated(32), '--divide-by-n']);
    expect(table.stdout).toMatch(/^FVD +-?\d/);
    expect(table.stdout).toMatch(
      /reference .*\n +prepared as +framesPerClip 16\nsamples .*\n +prepared as +framesPerClip 32/,
    );
    expect(table.stdout).toMatch(/covariances +divided by N$/m);
    const damaged = await featureFile(
      features((value) => value),
      { ...network, protocol: '[1]' },
    );
    expect(await failure(plain, damaged)).toMatch(/'protocol' must be a JSON object of texts and numbers/);
  });
});

/** Videos (N, T, H, W, 3) whose frame t is all of the value 30 n + 5 t. */
function greyVideos(count: number, frames: number, [height, width] = [16, 16]): Tensor<'uint8'> {
  const size = height * width * 3;
  const value = (i: number): number => {
    const frame = Math.floor(i / size);
    return frameGrey(frame % frames, 30 * Math.floor(frame / frames));
  };
  const data = Uint8Array.from({ length: count * frames * size }, (_, i) => value(i));
  return tensor('uint8', [count, frames, height, width, 3], data);
}

async function videoFile(value: Tensor): Promise<string> {
  const path = join(temporaryFolder(), 'videos.npz');
  writeFileSync(path, await encodeNpz({ arr_0: value }));
  return path;
}

/** The same videos as {@link greyVideos}, as files. */
async function videoFolder(count: number, frames: number): Promise<string> {
  const folder = temporaryFolder();
  for (let n = 0; n < count; n++) await writeClip(join(folder, 'a', `${n}.webp`), { frames, first: 30 * n });
  return folder;
}

describe('acdit evaluate of videos', () => {
  const folder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const weights = join(folder, 'i3d.safetensors');

  it('computes features, states the protocol, and keeps both', { timeout: 240_000 }, async () => {
    const tensors = [...i3dStateDict()].map(([name, shape]) => [name, formulaTensor(name, shape)] as const);
    writeFileSync(weights, encodeSafetensors(tensors));
    const [files, array] = [await videoFolder(3, 10), await videoFile(greyVideos(3, 10))];
    const [reference, samples] = ['r.npz', 's.npz'].map((name) => join(folder, name));
    const flags = [
      '--i3d',
      weights,
      '--clip-frames=9',
      '--save-reference',
      reference,
      '--save-features',
      samples,
    ];
    const same = await metricsOf(files, array, ...flags);
    expect(Math.abs(same.fvd)).toBeLessThan(1e-6);
    const stated = {
      videos: 3,
      frameSize: '16x16',
      framesPerClip: 9,
      frameStride: 1,
      clipsPerVideo: 1,
      clipPlaces: 'beginnings',
      resize: 'tensorflow',
      batchNormEpsilon: 1e-5,
      weights: expect.stringMatching(/^[0-9a-f]{16}$/),
    };
    expect(same.protocol).toEqual({ covarianceDivisor: 'N - 1', reference: stated, samples: stated });
    const { stderr, ...again } = await metricsOf(reference, samples);
    expect({ ...again, stderr: '' }).toEqual({ ...same, stderr: '' });
    expect(stderr).toMatch(
      /3 samples are few for a Fréchet distance in 400 dimensions.*papers take 2048 or 10000/,
    );
  });

  it('says what is missing: weights', async () => {
    const videos = await videoFile(greyVideos(2, 16));
    const message = await failure(videos, videos);
    expect(message).toMatch(
      /need the weights of the I3D network: get i3d_torchscript.pt from https:\/\/\S+, or i3d_pretrained_400.pt.*--i3d FILE/,
    );
    expect(await failure(await videoFolder(1, 16), videos, '--network=i3d')).toBe(message);
    expect(await failure(videos, videos, '--i3d=none.pt')).toMatch(/none.pt: there is no such file/);
    writeFileSync(join(folder, 'other.safetensors'), encodeSafetensors([['a', float32([1], [1])]]));
    expect(await failure(videos, videos, '--i3d', join(folder, 'other.safetensors'))).toMatch(
      /is not the I3D network of Kinetics-400: Conv3d_1a_7x7 is missing/,
    );
  });

  it('refuses what is no set of videos', async () => {
    const videos = await videoFile(greyVideos(2, 16));
    const files = await videoFolder(1, 12);
    const i3d = ['--network=i3d'];
    expect(await failure(files, videos, ...i3d)).toMatch(
      /0.webp: has 12 frames, but a clip of 16 frames takes 16/,
    );
    expect(await failure(temporaryFolder(), videos, ...i3d)).toMatch(/holds no videos/);
    const images = await videoFile(zeros('uint8', [2, 16, 16, 3]));
    expect(await failure(images, videos, ...i3d)).toMatch(
      /must be videos of shape \[N, T, H, W, 3\], got \[2,16,16,3\]/,
    );
    expect(await failure(videos, videos, '--clip-frames=0')).toMatch(/--clip-frames/);
    expect(await failure(videos, videos, '--clip-places=anywhere')).toMatch(/must be one of even, random/);
  });

  it('refuses clips of fewer than 9 frames, and values that are none', async () => {
    const videos = await videoFile(greyVideos(2, 16));
    const given = ['--i3d', weights];
    expect(await failure(videos, videos, ...given, '--clip-frames=8')).toMatch(/at least 9 frames, got 8/);
    expect(await failure(videos, videos, ...given, '--i3d-epsilon=x')).toMatch(
      /--i3d-epsilon must be a number/,
    );
    expect(await failure(videos, videos, ...given, '--clip-resize=pillow')).toMatch(
      /one of tensorflow, torch/,
    );
  });

  it.skipIf(!hasFfmpeg)('knows a folder of video files by itself, and names one without video', async () => {
    const videos = await videoFile(greyVideos(2, 16));
    const mixed = temporaryFolder();
    mkdirSync(join(mixed, 'a'));
    const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/video/${name}`, import.meta.url));
    copyFileSync(fixture('h264.mp4'), join(mixed, 'a', 'one.mp4'));
    expect(await failure(mixed, videos, '--clip-frames=2')).toMatch(/need the weights of the I3D network/);
    copyFileSync(fixture('audio.mp4'), join(mixed, 'a', 'audio.mp4'));
    expect(await failure(mixed, videos)).toMatch(/audio.mp4: there is no video stream in it|audio.mp4: /);
  });
});
