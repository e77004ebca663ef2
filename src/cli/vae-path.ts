/** @file Which autoencoder decodes the latents. */

import { ArgumentError, HubError } from '../errors.ts';
import { RELEASED_AUTOENCODER } from '../hub/names.ts';
import { type AcditConfig, PAPER_DOWNSAMPLING } from '../models/acdit/config.ts';
import type { CommandContext } from './command.ts';
import { autoencoderPath } from './model-path.ts';

const NEEDED =
  'this model makes latents, and decoding them needs an autoencoder: give its folder or its name on the Hugging Face Hub ' +
  `with --vae DIR (config.json and diffusion_pytorch_model.safetensors or .bin, as in ${RELEASED_AUTOENCODER})`;

/** Channels of the latents that the released models make. */
const RELEASED_CHANNELS = 4;

/**
 * The folder of the autoencoder that `--vae` names. Without it, models that may have been trained like the released ones
 * get the autoencoder of these.
 * @param otherwise what else can be done where there is none.
 * @throws {ArgumentError} if there is none.
 */
export async function vaePath(
  config: AcditConfig,
  vae: string | undefined,
  context: CommandContext,
  otherwise = '',
): Promise<string> {
  if (vae !== undefined) return autoencoderPath(vae, context);
  const needed = NEEDED + otherwise;
  const { autoencoder, channels, downsampling = PAPER_DOWNSAMPLING } = config;
  const likeReleased = channels === RELEASED_CHANNELS && downsampling === PAPER_DOWNSAMPLING;
  if (autoencoder !== undefined || !likeReleased) throw new ArgumentError(needed);
  try {
    return await autoencoderPath(RELEASED_AUTOENCODER, context);
  } catch (cause) {
    if (!(cause instanceof HubError)) throw cause;
    throw new ArgumentError(`${needed}; the released models' own cannot be had: ${cause.message}`, { cause });
  }
}
