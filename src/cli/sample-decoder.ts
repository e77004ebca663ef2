/** @file What makes pictures of the latents of `acdit sample`. */

import { type Decoder, localDecoder, pixelDecoder, processDecoder } from '../decoding/decoder.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import type { SampleSettings } from './sample-settings.ts';

/**
 * What makes pictures, if any are wanted. With several batches, or clips of several blocks, it works while sampling goes
 * on.
 */
export function openDecoder(
  config: AcditConfig,
  { decode, vae, request }: SampleSettings,
  { threads }: Device,
  signal: AbortSignal,
): Decoder | undefined {
  if (!decode) return undefined;
  if (vae === undefined) return pixelDecoder(config);
  const goesOn = request.labels.length > request.batch || config.frames > 1;
  return (goesOn ? processDecoder : localDecoder)({ config, vae, threads }, signal);
}
