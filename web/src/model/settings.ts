/** @file The settings that an image or a video is made with. */

import type { TimestepSpacing } from '../../../src/diffusion/timesteps.ts';
import { type AcditConfig, defaultGuidance } from '../../../src/models/acdit/config.ts';
import { DEFAULT_SEED } from '../../../src/sampling/request.ts';
import type { ModelCard, Order } from '../engine/engine.ts';

export interface Settings {
  readonly label: number;
  readonly steps: number;
  readonly timesteps: TimestepSpacing;
  readonly cfg: number;
  readonly seed: number;
}

/** Seeds are below this. */
export const SEEDS = 2 ** 31;

export function randomSeed(): number {
  return Math.floor(Math.random() * SEEDS);
}

export function defaultSettings({ config }: ModelCard): Settings {
  return { label: 0, steps: 15, timesteps: 'uniform', cfg: ownScale(config), seed: DEFAULT_SEED };
}

/** Returns the scale of the model's own guidance, of a list the largest. */
export function ownScale(config: AcditConfig): number {
  return Math.max(...[defaultGuidance(config).scale].flat());
}

/** The model's own scale stands for its own guidance, which may differ by noise level and block. */
export function orderOf({ id, config }: ModelCard, { cfg, ...settings }: Settings): Order {
  const isOwn = cfg === ownScale(config) && typeof config.guidance === 'object';
  return { model: id, ...settings, ...(!isOwn && { cfg }) };
}
