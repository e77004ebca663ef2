/** @file Weights computed from their names, so that a full-size model can be checked without shipping it. */

import {
  type AcditConfig,
  paperConfig,
  type SizeName,
  validateConfig,
} from '../../src/models/acdit/config.ts';
import { parameters, type Weights } from '../../src/models/acdit/weights.ts';
import type { AutoencoderConfig } from '../../src/models/autoencoder/config.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';

/** FNV-1a, 32 bit, of the UTF-8 name. */
function hashName(name: string): number {
  return (
    new TextEncoder().encode(name).reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193), 0x811c9dc5) >>>
    0
  );
}

/** The tensor of a name: hashed numbers scaled as an initialisation would be. */
export function formulaTensor(name: string, shape: readonly number[]): Tensor<'float32'> {
  const out = new Float32Array(elementCount(shape));
  const [scale, offset] = formulaRange(name, shape);
  const hash = hashName(name);
  for (let i = 0; i < out.length; i++) {
    let x = (hash + Math.imul(i, 0x9e3779b1)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    x = (x ^ (x >>> 16)) >>> 0;
    out[i] = ((x / 2 ** 32) * 2 - 1) * scale + offset;
  }
  return float32(shape, out);
}

function formulaRange(name: string, shape: readonly number[]): [scale: number, offset: number] {
  if (name.endsWith('running_var')) return [0.5, 1];
  if (shape.length >= 2) return [Math.sqrt(3 / elementCount(shape.slice(1))), 0];
  return name.endsWith('weight') ? [0.2, 1] : [0.1, 0];
}

export function formulaWeights(config: AcditConfig): Weights {
  return new Map([...parameters(config)].map(([name, shape]) => [name, formulaTensor(name, shape)]));
}

/** The image model of a paper's size: 32 x 32 latents of 4 channels, patch 1, 4 blocks of 256 tokens. */
export function paperImageConfig(size: SizeName): AcditConfig {
  return validateConfig(paperConfig(size, 'image'));
}

/** Stable Diffusion's autoencoder, which the paper's models use. */
export const stableDiffusionAutoencoder: AutoencoderConfig = {
  inChannels: 3,
  outChannels: 3,
  latentChannels: 4,
  blockChannels: [128, 256, 512, 512],
  layersPerBlock: 2,
  groups: 32,
  midAttention: true,
  quantConv: true,
  postQuantConv: true,
  scalingFactor: 0.18215,
};
