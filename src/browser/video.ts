/** @file Clips as files, made in a page or a worker. */

import type { Image } from '../media/pixels.ts';
import { h264Encoder } from '../media/video-h264.ts';

/** An MP4 file with H.264. The encoder, 1.7 MB, is loaded on first use. */
export async function encodeMp4(frames: readonly Image[], fps: number): Promise<Blob> {
  const encoder = h264Encoder(createEncoder, fps);
  await encoder.add(frames);
  const pieces = await encoder.file();
  return new Blob(pieces as Uint8Array<ArrayBuffer>[], { type: 'video/mp4' });
}

type Loaded = Pick<typeof import('h264-mp4-encoder'), 'createH264MP4Encoder'>;

async function createEncoder() {
  const loaded: Loaded | { readonly default: Loaded } = await import(
    'h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js'
  );
  // Some bundlers give the names of a module that is none of ES under `default` only.
  const { createH264MP4Encoder } = 'createH264MP4Encoder' in loaded ? loaded : loaded.default;
  return createH264MP4Encoder();
}
