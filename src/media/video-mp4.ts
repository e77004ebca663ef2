/** @file MP4 with H.264 on Node, with nothing installed. */

import { createRequire } from 'node:module';
import { h264Encoder, type VideoEncoder } from './video-h264.ts';

/** An MP4 with H.264: see {@link h264Encoder}. */
export function mp4Encoder(fps: number): VideoEncoder {
  return h264Encoder(createEncoder, fps);
}

/** Emscripten's code listens for uncaught errors of the whole process, and ends it in its own way: not here. */
async function createEncoder() {
  const events = (['uncaughtException', 'unhandledRejection'] as const).map((event) => ({
    event,
    before: new Set<unknown>(process.listeners(event as 'exit')),
  }));
  const require = createRequire(import.meta.url); // a CommonJS bundle, whose names `import` does not see
  const { createH264MP4Encoder } = require('h264-mp4-encoder') as typeof import('h264-mp4-encoder');
  const encoder = await createH264MP4Encoder();
  for (const { event, before } of events) {
    for (const listener of process.listeners(event as 'exit')) {
      if (!before.has(listener)) process.removeListener(event, listener);
    }
  }
  return encoder;
}
