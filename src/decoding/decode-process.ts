/** @file The program of the process that decodes latents. See decoder.ts. */

import { streamOf } from '../remote/channel.ts';
import { serveChild } from '../remote/node.ts';
import { type Decoder, type DecodingCalls, localDecoder } from './decoder.ts';

let decoder: Decoder | undefined;

serveChild<DecodingCalls>({
  async open(settings) {
    decoder = localDecoder(settings);
  },
  decode(latents, signal) {
    if (!decoder) throw new Error('the decoding process got latents before its settings');
    const { decode } = decoder;
    return streamOf((onProgress) => decode(latents, { signal, onProgress }));
  },
});
