/** @file `config.json`: checked on the way in, since anyone may have written it. */

import { z } from 'zod';
import { NOISE_SCHEDULES } from '../diffusion/noise-schedule.ts';
import { PREDICTIONS } from '../diffusion/prediction.ts';
import { CheckpointError, ConfigError } from '../errors.ts';
import { parseJsonOf } from '../io/json.ts';
import { type AcditConfig, validateConfig } from '../models/acdit/config.ts';
import { requireConfigKind } from './config-kind.ts';

const schema = z.object({
  modelType: z.literal('acdit'),
  layers: z.number(),
  hidden: z.number(),
  heads: z.number(),
  mlpRatio: z.number(),
  classes: z.number(),
  classNames: z.array(z.string()).optional(),
  space: z.enum(['pixels', 'latents']),
  channels: z.number(),
  frames: z.number(),
  height: z.number(),
  width: z.number(),
  patch: z.number(),
  blockSize: z.number(),
  blocks: z.number(),
  squareBlocks: z.boolean(),
  positionSplit: z.array(z.number()),
  guidance: z.number().optional(),
  downsampling: z.number().optional(),
  prediction: z.enum(PREDICTIONS).optional(),
  noiseSchedule: z.enum(NOISE_SCHEDULES).optional(),
  noiseShift: z.number().optional(),
  contextNoise: z.number().optional(),
  autoencoder: z
    .object({ fingerprint: z.string().regex(/^[\w-]{1,64}$/), scalingFactor: z.number().positive() })
    .optional(),
});

/**
 * Parse the text of a `config.json`.
 * @throws {CheckpointError} if it is not one; {ConfigError} if its numbers do not fit together.
 */
export function parseConfig(text: string, name: string): AcditConfig {
  requireConfigKind(text, name, 'acdit');
  const data = parseJsonOf(text, name, schema, 'not the configuration of an ACDiT', CheckpointError);
  try {
    return validateConfig(withoutAbsent(data));
  } catch (cause) {
    throw new ConfigError(`${name}: ${(cause as Error).message}`, { cause });
  }
}

/** An object whose optional keys are absent rather than undefined. */
type WithoutAbsent<T> = { [K in keyof T]: Exclude<T[K], undefined> };

function withoutAbsent<T extends object>(data: T): WithoutAbsent<T> {
  return Object.fromEntries(
    Object.entries(data).filter(([, value]) => value !== undefined),
  ) as WithoutAbsent<T>;
}
