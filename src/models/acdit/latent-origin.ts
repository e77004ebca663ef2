/** @file Compares autoencoders: latents mean the same only if both their encoder and their scaling factor are the same. */

import type { LatentOrigin } from './config.ts';

/** Whether latents of both are the same numbers for the same image. */
export function sameOrigin(a: LatentOrigin | undefined, b: LatentOrigin | undefined): boolean {
  return a?.fingerprint === b?.fingerprint && a?.scalingFactor === b?.scalingFactor;
}

/** Returns a few words such as `3fa1b2c4 with scaling factor 0.18215`, or `none` for pixels. */
export function describeOrigin(origin: LatentOrigin | undefined): string {
  return origin ? `${origin.fingerprint} with scaling factor ${origin.scalingFactor}` : 'none';
}
