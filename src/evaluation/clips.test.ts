import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { frameGrey, writeClip } from '../../test/support/clip-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { DatasetError, FormatError } from '../errors.ts';
import { encodeNpz, openNpz } from '../formats/npz.ts';
import { bytesSource } from '../io/byte-source.ts';
import { blankImage, writePng } from '../media/image.ts';
import { openCpu } from '../runtime/node.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { CLIP_PROTOCOL, type ClipProtocol, chosenVideos, clipSpan, clipStarts } from './clips.ts';
import { extractFeatures } from './extract.ts';
import type { FeatureNetwork } from './feature-network.ts';
import { listVideos, openVideoFolder } from './folder-source.ts';
import { openVideoArray } from './npz-source.ts';
import { readAhead, type SampleSource } from './sample-source.ts';

const protocols = fc.record({
  frames: fc.integer({ min: 1, max: 20 }),
  stride: fc.integer({ min: 1, max: 4 }),
  clipsPerVideo: fc.integer({ min: 1, max: 5 }),
  places: fc.constantFrom('even' as const, 'random' as const),
  seed: fc.nat(),
});

describe('clips', () => {
  it('lie within their video, the even ones from its first frame to its last', () => {
    fc.assert(
      fc.property(protocols, fc.nat(100), fc.nat(9), (protocol, spare, video) => {
        const length = clipSpan(protocol) + spare;
        const starts = clipStarts('v', length, video, protocol);
        expect(starts).toHaveLength(protocol.clipsPerVideo);
        expect(starts.every((start) => Number.isInteger(start) && start >= 0 && start <= spare)).toBe(true);
        expect(clipStarts('v', length, video, protocol)).toEqual(starts);
        if (protocol.places === 'random') return;
        expect(starts[0]).toBe(0);
        if (starts.length > 1) expect(starts.at(-1)).toBe(spare);
      }),
    );
  });

  it('at random places are anywhere, and others for every video', () => {
    const protocol: ClipProtocol = { ...CLIP_PROTOCOL, places: 'random', clipsPerVideo: 400 };
    const starts = clipStarts('v', 19, 0, protocol);
    expect(new Set(starts)).toEqual(new Set([0, 1, 2, 3]));
    expect(clipStarts('v', 19, 1, protocol)).not.toEqual(starts);
  });

  it('are not longer than their video', () => {
    const protocol = { ...CLIP_PROTOCOL, frames: 9, stride: 2 };
    expect(clipStarts('v', 17, 0, protocol)).toEqual([0]);
    expect(() => clipStarts('a.mp4', 16, 0, protocol)).toThrow(FormatError);
    expect(() => clipStarts('a.mp4', 16, 0, protocol)).toThrow(
      'a.mp4: has 16 frames, but a clip of 9 frames at a stride of 2 takes 17',
    );
  });

  it('are of all videos, or of some chosen from all of them', () => {
    expect(chosenVideos(4, CLIP_PROTOCOL)).toEqual([0, 1, 2, 3]);
    expect(chosenVideos(4, { ...CLIP_PROTOCOL, videos: 9 })).toEqual([0, 1, 2, 3]);
    const some = chosenVideos(1000, { ...CLIP_PROTOCOL, videos: 100 });
    expect(new Set(some).size).toBe(100);
    expect(some).toEqual([...some].sort((a, b) => a - b));
    expect(some.at(-1)).toBeGreaterThan(900);
    expect(chosenVideos(1000, { ...CLIP_PROTOCOL, videos: 100, seed: 1 })).not.toEqual(some);
  });
});

describe('samples read ahead', () => {
  it('come in order, in batches', async () => {
    const batches: number[][] = [];
    for await (const batch of readAhead(5, 2, async (i) => 10 * i)) batches.push(batch);
    expect(batches).toEqual([[0, 10], [20, 30], [40]]);
    for await (const batch of readAhead(0, 2, async (i) => i)) expect(batch).toBe('none');
  });

  it('fail when they are asked for', async () => {
    const batches = readAhead(4, 2, async (i) => {
      if (i === 3) throw new FormatError('the fourth');
      return i;
    });
    expect((await batches.next()).value).toEqual([0, 1]);
    await expect(batches.next()).rejects.toThrow('the fourth');
  });
});

/** The grey value of each frame of each clip, batch by batch. */
async function greys(source: SampleSource, size: number): Promise<number[][][]> {
  const batches: number[][][] = [];
  for await (const { shape, data } of source.batches(size)) {
    const [count, frames, ...rest] = shape;
    const pixels = elementCount(rest);
    batches.push(
      Array.from({ length: count }, (_, n) =>
        Array.from({ length: frames }, (_, t) => data[(n * frames + t) * pixels]),
      ),
    );
  }
  return batches;
}

const small: ClipProtocol = { ...CLIP_PROTOCOL, frames: 2, stride: 2 };
const clipOf = (first: number, start: number): number[] => [start, start + 2].map((t) => frameGrey(t, first));

describe('videos of a folder', () => {
  async function folderOfVideos(): Promise<string> {
    const folder = temporaryFolder();
    await writeClip(join(folder, 'b', 'one.webp'), { frames: 4, first: 0 });
    await writeClip(join(folder, 'b', 'two.webp'), { frames: 5, first: 100 });
    for (const t of [1, 2, 10]) {
      const path = join(folder, 'a', 'frames', `${t}.png`);
      await writePng(path, blankImage(16, 16, 1, frameGrey(t === 10 ? 2 : t - 1, 200)));
    }
    return folder;
  }

  it('are files and folders of frames, in the order of their names', async () => {
    const folder = await folderOfVideos();
    await writePng(join(folder, 'preview.png'), blankImage(8, 8, 3));
    await writePng(join(folder, 'b', 'preview.png'), blankImage(8, 8, 3));
    writeFileSync(join(folder, 'notes.txt'), 'x');
    const videos = ['a/frames', 'b/one.webp', 'b/two.webp'].map((path) => join(folder, path));
    const others = ['notes.txt', 'b/preview.png', 'preview.png'].map((path) => ({
      path: join(folder, path),
      kind: 'file',
    }));
    expect(await listVideos(folder)).toEqual({ files: videos, others });
    expect(await listVideos(`${folder}/./`)).toEqual({ files: videos, others });
    expect(await listVideos(join(folder, 'a', 'frames'))).toEqual({ files: videos.slice(0, 1), others: [] });
  });

  it('give their first frames', async () => {
    const source = await openVideoFolder(await folderOfVideos(), { protocol: small });
    expect(source).toMatchObject({ count: 3, shape: [2, 16, 16, 3] });
    expect(await greys(source, 2)).toEqual([[clipOf(200, 0), clipOf(0, 0)], [clipOf(100, 0)]]);
  });

  it('give several clips each, in batches of any size', async () => {
    const source = await openVideoFolder(await folderOfVideos(), {
      protocol: { ...small, clipsPerVideo: 3 },
    });
    const clips = [
      ...[0, 0, 0].map((start) => clipOf(200, start)),
      ...[0, 1, 1].map((start) => clipOf(0, start)),
      ...[0, 1, 2].map((start) => clipOf(100, start)),
    ];
    expect(source.count).toBe(9);
    for (const size of [1, 2, 4, 9]) expect((await greys(source, size)).flat()).toEqual(clips);
  });

  it('may be a few of all', async () => {
    const source = await openVideoFolder(await folderOfVideos(), { protocol: { ...small, videos: 2 } });
    expect(source.count).toBe(2);
    expect((await greys(source, 4)).flat()).toHaveLength(2);
  });

  it('must be there, long enough, of one size, and readable', async () => {
    const folder = await folderOfVideos();
    await expect(openVideoFolder(temporaryFolder(), { protocol: small })).rejects.toThrow(DatasetError);
    await expect(openVideoFolder(temporaryFolder(), { protocol: small })).rejects.toThrow(
      /holds no videos \(\.mp4, /,
    );
    await expect(openVideoFolder(folder, { protocol: CLIP_PROTOCOL })).rejects.toThrow(
      /frames: has 3 frames, but a clip of 16 frames takes 16; remove the video, or take shorter clips/,
    );
    await writeClip(join(folder, 'c.webp'), { frames: 4, side: 8 });
    const read = async () => greys(await openVideoFolder(folder, { protocol: small }), 2);
    await expect(read()).rejects.toThrow(FormatError);
    await expect(read()).rejects.toThrow(
      /c.webp: is 8 x 8 but a\/frames is 16 x 16; all must be of one size. Crop each .*--size N/,
    );
    const cropped = await openVideoFolder(folder, { protocol: small, size: 8 });
    expect(cropped.shape).toEqual([small.frames, 8, 8, 3]);
    expect((await greys(cropped, 2)).flat()).toHaveLength(cropped.count);
    mkdirSync(join(folder, 'd'));
    writeFileSync(join(folder, 'c.webp'), 'no video');
    await expect(read()).rejects.toThrow(/c.webp: not a readable image/);
  });
});

describe('videos of an array', () => {
  async function open(value: Tensor, protocol = small): Promise<SampleSource> {
    const bytes = await encodeNpz({ arr_0: value }, { compress: true });
    return openVideoArray(await openNpz(bytesSource(bytes)), 'v.npz', protocol);
  }
  /** (3, 5, 2, 2, C): frame t of video n is of the value 50 n + 5 t. */
  const videos = (channels: number): Tensor =>
    tensor(
      'uint8',
      [3, 5, 2, 2, channels],
      Uint8Array.from({ length: 60 * channels }, (_, i) => {
        const frame = Math.floor(i / (4 * channels));
        return frameGrey(frame % 5, 50 * Math.floor(frame / 5));
      }),
    );

  it.each([1, 3])('of %i channels give their first frames', async (channels) => {
    const source = await open(videos(channels));
    expect(source).toMatchObject({ count: 3, shape: [2, 2, 2, channels] });
    expect(await greys(source, 2)).toEqual([[clipOf(0, 0), clipOf(50, 0)], [clipOf(100, 0)]]);
    await source.close();
  });

  it('give several clips of some of them, in batches of any size', async () => {
    const protocol: ClipProtocol = { ...small, clipsPerVideo: 2, videos: 2 };
    const source = await open(videos(3), protocol);
    const clips = chosenVideos(3, protocol).flatMap((n) => [0, 2].map((start) => clipOf(50 * n, start)));
    expect(source.count).toBe(4);
    for (const size of [1, 3, 4, 8]) expect((await greys(source, size)).flat()).toEqual(clips);
  });

  it.each([
    [
      'floats',
      tensor('float32', [1, 5, 2, 2, 3], new Float32Array(60)),
      small,
      /must be videos of uint8, 0 to 255, got float32/,
    ],
    [
      'images',
      tensor('uint8', [5, 2, 2, 3], new Uint8Array(60)),
      small,
      /shape \[N, T, H, W, 3\], got \[5,2,2,3\]$/,
    ],
    [
      'channels first',
      tensor('uint8', [1, 3, 5, 2, 2], new Uint8Array(60)),
      small,
      /channels must be the last axis/,
    ],
    ['no videos', tensor('uint8', [0, 5, 2, 2, 3], new Uint8Array(0)), small, /got \[0,5,2,2,3\]/],
    ['too few frames', videos(3), CLIP_PROTOCOL, /v.npz: has 5 frames, but a clip of 16 frames takes 16/],
  ])('must not be %s', async (_, value, protocol, message) => {
    await expect(open(value, protocol)).rejects.toThrow(FormatError);
    await expect(open(value, protocol)).rejects.toThrow(message);
  });
});

describe('features of clips', () => {
  const device = openCpu({ threads: 1 });
  afterAll(() => device.dispose());
  const source = (shape: number[]): SampleSource => ({
    name: 'set',
    count: 2,
    shape,
    protocol: shape.length === 4 ? { framesPerClip: shape[0] } : undefined,
    async *batches() {
      yield tensor('uint8', [2, ...shape], new Uint8Array(2 * elementCount(shape)));
    },
    close: async () => {},
  });
  const network: FeatureNetwork = {
    name: 'n',
    channels: 3,
    takesClips: true,
    protocol: { resize: 'torch' },
    batchSize: 2,
    extract: async ({ shape }) => ({
      features: float32([shape[0], shape.length], [5, 4, 3, 2, 1, 5, 4, 3, 2, 1]),
    }),
    dispose: async () => {},
  };

  it('say how the clips were chosen and prepared', async () => {
    const set = await extractFeatures(device, network, source([3, 2, 2, 3]));
    expect(set.protocol).toEqual({ framesPerClip: 3, resize: 'torch' });
    expect(set.features?.shape).toEqual([2, 5]);
  });

  it('are none of images, nor features of images those of clips', async () => {
    await expect(extractFeatures(device, network, source([2, 2, 3]))).rejects.toThrow(
      "set: holds images, but the network 'n' is one of videos",
    );
    const ofImages = { ...network, takesClips: false };
    await expect(extractFeatures(device, ofImages, source([3, 2, 2, 3]))).rejects.toThrow(
      "set: holds videos, but the network 'n' is one of images",
    );
  });
});
