/** @file Autoencoders that were added, and the models of latents that each of them decodes. */

import { requireDecodingMemory } from '../../../src/browser/memory.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { AutoencoderConfig } from '../../../src/models/autoencoder/config.ts';
import { checkAutoencoder, checkLatentOrigin } from '../../../src/sampling/latents-to-images.ts';

export interface AutoencoderCard {
  readonly id: string;
  readonly title: string;
  readonly config: AutoencoderConfig;
  /** Identifies the latents that it decodes. */
  readonly fingerprint: string;
}

/** @throws {Error} with a message to show, if it does not decode the model's latents, or not in this page. */
export function requireFitting(model: AcditConfig, { title, config, fingerprint }: AutoencoderCard): void {
  checkAutoencoder(model, config);
  checkLatentOrigin(model, { fingerprint, scalingFactor: config.scalingFactor }, title);
  requireDecodingMemory(model, config);
}

/** Returns the newest one that decodes the model's latents. */
export function autoencoderFor(
  model: AcditConfig,
  given: readonly AutoencoderCard[],
): AutoencoderCard | undefined {
  return given.findLast((card) => {
    try {
      requireFitting(model, card);
      return true;
    } catch {
      return false;
    }
  });
}
