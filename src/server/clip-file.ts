/** @file A clip as a file. */

import { enlarge, type Image } from '../media/pixels.ts';
import { mp4Encoder } from '../media/video-mp4.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { wholePictures } from './pictures.ts';
import type { ServedModel } from './served-model.ts';

/** Frames that are smaller are enlarged to about this height: H.264 keeps half of the colour a side. */
const LEGIBLE_HEIGHT = 256;

/** The clip of latents (1, T, B, C) as MP4. */
export async function encodeClip(
  model: ServedModel,
  latents: Tensor<'float32'>,
  fps: number,
): Promise<Uint8Array> {
  const { images } = await wholePictures(model, latents);
  const encoder = mp4Encoder(fps);
  await encoder.add(images[0].map(legible));
  const parts = await encoder.file();
  return Buffer.concat(parts);
}

function legible(image: Image): Image {
  return enlarge(image, Math.max(1, Math.round(LEGIBLE_HEIGHT / image.height)));
}
