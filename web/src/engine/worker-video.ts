/** @file Videos as MP4 files. */

import encoder from 'h264-mp4-encoder/embuild/dist/h264-mp4-encoder.web.js?url';
import { encodeMp4 } from '../../../src/browser/index.ts';
import type { VideoCall } from './protocol.ts';

export function makeVideo({ frames, width, height, fps }: VideoCall): Promise<Blob> {
  const images = frames.map((data) => ({ width, height, channels: 3 as const, data: withoutAlpha(data) }));
  return encodeMp4(images, fps, new URL(encoder, location.href).href);
}

function withoutAlpha(rgba: Uint8Array): Uint8Array {
  const out = new Uint8Array((rgba.length / 4) * 3);
  for (let i = 0; i < rgba.length / 4; i++) out.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
  return out;
}
