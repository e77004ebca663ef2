/** @file First and last frames of clips with one moving item, each cut to the item, as images for the classifier. */

import { existsSync } from 'node:fs';
import { at, take, uint8At } from '../../src/at.ts';
import { openDataset } from '../../src/data/open.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { closingAfter } from '../../src/io/byte-source.ts';
import { openFile } from '../../src/io/file-source.ts';
import { imageFromSamples } from '../../src/media/image.ts';
import { type Image, withChannels } from '../../src/media/pixels.ts';
import { crop, resize } from '../../src/media/resize.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { writeImages } from './images-npz.ts';

/** The data of the bundled video model, as in its recipe. */
const CLIPS = { kind: 'moving-idx', imageSize: 32, itemSize: 18, speed: [0.5, 1], frames: 16 } as const;
const ITEM = CLIPS.itemSize;
/** Side of the images that the classifier was trained on. */
const SIDE = 28;
const REFERENCE_CLIPS = 5000;

/** Cuts the frames of an npz file of clips (N, T, H, W, 3) into another one of images. @returns its path. */
export async function cutFrames(clips: string, path: string): Promise<string> {
  if (existsSync(path)) return path;
  const { data, shape, labels } = await closingAfter(await openNpz(await openFile(clips)), async (npz) => ({
    ...(await npz.read('arr_0')),
    labels: Array.from((await npz.read('arr_1')).data, Number),
  }));
  const [count, frames, height, width, channels] = take(shape, 5);
  const size = height * width * channels;
  const frame = (clip: number, number: number): Image => {
    const start = (clip * frames + number) * size;
    return { width, height, channels: 3, data: (data as Uint8Array).subarray(start, start + size) };
  };
  const items = Array.from({ length: count }, (_, clip) => [frame(clip, 0), frame(clip, frames - 1)]).flat();
  await writeImages(
    path,
    items.map(itemOf),
    items.map((_, i) => at(labels, Math.floor(i / 2))),
  );
  return path;
}

/** Cuts the frames of clips of test images into an npz file. @returns its path. */
export async function referenceFrames(data: string, path: string): Promise<string> {
  if (existsSync(path)) return path;
  const dataset = await openDataset({ path: data, split: 'test', channels: 1, ...CLIPS });
  const items: Image[] = [];
  const labels: number[] = [];
  for (let clip = 0; clip < REFERENCE_CLIPS; clip++) {
    const sample = await dataset.read(clip, Generator.seeded(0, clip));
    if (!sample) continue;
    const shape = [1, CLIPS.imageSize, CLIPS.imageSize];
    const size = CLIPS.imageSize ** 2;
    for (const frame of [0, CLIPS.frames - 1]) {
      const values = sample.values.subarray(frame * size, (frame + 1) * size);
      items.push(withChannels(imageFromSamples(values, shape), 3));
      labels.push(sample.label);
    }
  }
  await writeImages(path, items.map(itemOf), labels);
  return path;
}

/** Returns the brightest window of the item's size, as large as the classifier's images. */
function itemOf(frame: Image): Image {
  const { width, height, channels, data } = frame;
  let best = { left: 0, top: 0, sum: -1 };
  for (let top = 0; top + ITEM <= height; top++) {
    for (let left = 0; left + ITEM <= width; left++) {
      let sum = 0;
      for (let y = top; y < top + ITEM; y++) {
        for (let x = left; x < left + ITEM; x++) sum += uint8At(data, (y * width + x) * channels);
      }
      if (sum > best.sum) best = { left, top, sum };
    }
  }
  return resize(crop(frame, best.left, best.top, ITEM, ITEM), SIDE, SIDE, 'bicubic');
}
