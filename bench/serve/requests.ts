/** @file The requests of the benchmark, and the bytes that each must get: those that the library makes alone. */

import { createHash } from 'node:crypto';
import { at } from '../../src/at.ts';
import { type Acdit, open } from '../../src/generate/index.ts';
import { encodePng, enlarge, type Image } from '../../src/media/image.ts';
import { legibleScale } from '../../src/media/pixels.ts';
import { mp4Encoder } from '../../src/media/video-mp4.ts';
import { tensorBytes } from '../../src/tensor/tensor.ts';

/** What is asked for, ten requests in turn. */
const KINDS = [
  ...['image', 'image', 'image', 'image by URL'],
  ...['streamed image', 'streamed image', 'stream of an image', 'stream of an image'],
  ...['stream of a video', 'video'],
] as const;

/** One of {@link KINDS}. */
export type Kind = (typeof KINDS)[number];

/** A request of the benchmark. */
export interface Task {
  readonly number: number;
  readonly kind: Kind;
  /** Whether its client leaves before the end, and after which share of the usual time. */
  readonly leaves: boolean;
  readonly leavesAfter: number;
  readonly body: {
    readonly prompt: number;
    readonly seed: number;
    readonly steps: number;
    readonly cfg_scale: number;
    readonly preset: 'exact';
  };
}

/** Classes of the bundled models. */
const CLASSES = 10;
/** Frames per second of videos, as the server makes them by default. */
const FPS = 4;

/** Makes requests of all kinds; no two have the same seed. @param share share of the clients that leave */
export function createTasks(count: number, share: number): Task[] {
  const random = createRandom(count);
  // The clients that leave are chosen at random, and their number is exact.
  const chances = Array.from({ length: count }, random);
  const leaving = new Set(
    [...chances.keys()].sort((a, b) => at(chances, a) - at(chances, b)).slice(0, Math.round(share * count)),
  );
  return Array.from({ length: count }, (_, number) => ({
    number,
    kind: at(KINDS, number % KINDS.length),
    leaves: leaving.has(number),
    leavesAfter: random(),
    body: {
      prompt: Math.floor(CLASSES * random()),
      seed: number,
      steps: 1 + Math.floor(3 * random()),
      cfg_scale: 1.5,
      preset: 'exact',
    },
  }));
}

/** Whether a request is for a video. */
export function isOfVideo({ kind }: Task): boolean {
  return kind === 'video' || kind === 'stream of a video';
}

/** Makes what each request asks for, one after another in this process, and returns its digest. */
export async function makeAlone(tasks: readonly Task[], threads: number): Promise<string[]> {
  await using images = await open('fashion-mnist', { threads });
  await using videos = await open('moving-fashion-mnist', { threads });
  const digests: string[] = [];
  for (const task of tasks) digests.push(await digestAlone(isOfVideo(task) ? videos : images, task));
  return digests;
}

async function digestAlone(acdit: Acdit, { kind, body }: Task): Promise<string> {
  const { prompt, cfg_scale: guidance, ...options } = body;
  const [sample] = await acdit.generate(prompt, { ...options, guidance });
  if (kind === 'video') return digest([await videoOf(sample.frames, acdit.config.blocks)]);
  if (!kind.startsWith('stream of')) return digest([await sample.toBuffer()]);
  return digest([tensorBytes(sample.latents), ...(await Promise.all(sample.frames.map(encodePng)))]);
}

/** Returns an MP4 whose blocks are compressed one after another, as `acdit sample` does, since they come this way. */
async function videoOf(frames: readonly Image[], blocks: number): Promise<Uint8Array> {
  const encoder = mp4Encoder(FPS);
  const length = frames.length / blocks;
  for (let start = 0; start < frames.length; start += length) {
    await encoder.add(
      frames.slice(start, start + length).map((frame) => enlarge(frame, legibleScale(frame))),
    );
  }
  return Buffer.concat(await encoder.file());
}

/** Returns a hash of files. */
export function digest(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length} `).update(part);
  return hash.digest('hex');
}

/** Reproducible numbers in [0, 1): a linear congruential generator with the constants of Numerical Recipes. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
