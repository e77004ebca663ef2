/** @file Which autoencoder decodes the latents. */

import { ArgumentError } from '../errors.ts';

/** The folder of the autoencoder that `--vae` names. @throws {ArgumentError} if it names none. */
export async function vaePath(vae: string | undefined): Promise<string> {
  if (vae !== undefined) return vae;
  throw new ArgumentError(
    'this model makes latents, and decoding them needs an autoencoder: give its folder with --vae DIR (config.json and ' +
      'diffusion_pytorch_model.safetensors or .bin, as in facebook/DiT-XL-2-256/vae or stabilityai/sd-vae-ft-ema on ' +
      'the Hugging Face Hub), or use --latents F.npy --no-decode',
  );
}
