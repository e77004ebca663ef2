/** @file The settings that an image or a video is made with. */

import type { TimestepSpacing } from '../../../src/diffusion/timesteps.ts';
import { type AcditConfig, defaultGuidance, type Preset } from '../../../src/models/acdit/config.ts';
import { DEFAULT_SEED } from '../../../src/sampling/request.ts';
import type { ModelCard, Order } from '../engine/engine.ts';

export interface Settings {
  readonly label: number;
  /** With `fast`, steps, timesteps and guidance are those of the model's tuned solver. */
  readonly preset: Preset;
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

export function defaultSettings({ config, fastSteps }: ModelCard): Settings {
  const preset = fastSteps === undefined ? 'exact' : (config.preset ?? 'exact');
  return { label: 0, preset, steps: 15, timesteps: 'uniform', cfg: ownScale(config), seed: DEFAULT_SEED };
}

/** Returns the scale of the model's own guidance, of a list the largest. */
export function ownScale(config: AcditConfig): number {
  return Math.max(...[defaultGuidance(config).scale].flat());
}

/** The model's own scale stands for its own guidance, which may differ by noise level and block. */
export function orderOf({ id, config, fastSteps }: ModelCard, { cfg, preset, ...settings }: Settings): Order {
  const { label, seed } = settings;
  if (preset === 'fast' && fastSteps !== undefined)
    return { model: id, label, seed, preset, steps: fastSteps };
  const isOwn = cfg === ownScale(config) && typeof config.guidance === 'object';
  return { model: id, ...settings, ...(!isOwn && { cfg }) };
}
