/** @file Clips as files, made in a page or a worker. */

import { FormatError } from '../errors.ts';
import type { Image } from '../media/pixels.ts';
import { type CreateEncoder, h264Encoder } from '../media/video-h264.ts';

/**
 * An MP4 file with H.264.
 * @param encoder URL of `h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js`, 1.7 MB, which is loaded now.
 * @throws {FormatError} if the encoder cannot be loaded.
 */
export async function encodeMp4(frames: readonly Image[], fps: number, encoder: string): Promise<Blob> {
  const video = h264Encoder(() => loadEncoder(encoder), fps);
  await video.add(frames);
  return new Blob((await video.file()) as Uint8Array<ArrayBuffer>[], { type: 'video/mp4' });
}

/** The encoder is a script of old, which names a global variable: it becomes a module by a line at its end. */
async function loadEncoder(url: string): ReturnType<CreateEncoder> {
  const answer = await fetch(url);
  if (!answer.ok)
    throw new FormatError(`${url}: the encoder of clips could not be fetched: status ${answer.status}`);
  const script = `${await answer.text()}\nexport const { createH264MP4Encoder } = HME;`;
  const module = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  try {
    const loaded: { readonly createH264MP4Encoder: CreateEncoder } = await import(/* @vite-ignore */ module);
    return await loaded.createH264MP4Encoder();
  } finally {
    URL.revokeObjectURL(module);
  }
}
