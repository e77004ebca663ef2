/** @file The settings that an image or a video is made with. */

import type { TimestepSpacing } from '../../../src/diffusion/timesteps.ts';
import { defaultGuidance } from '../../../src/models/acdit/config.ts';
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
  return { label: 0, steps: 15, timesteps: 'uniform', cfg: defaultGuidance(config), seed: DEFAULT_SEED };
}

export function orderOf(model: ModelCard, settings: Settings): Order {
  return { model: model.id, ...settings };
}
