/**
 * @file `config.json`: checked on the way in, since anyone may have written it. The folders of all kinds of networks look
 * the same, so a configuration of another kind is named.
 */

import { z } from 'zod';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import { NOISE_SCHEDULES } from '../diffusion/noise-schedule.ts';
import { PREDICTIONS } from '../diffusion/prediction.ts';
import { CheckpointError, ConfigError } from '../errors.ts';
import { isRecord, parseJson, parseJsonOf } from '../io/json.ts';
import type { AttentionSetting } from '../models/acdit/attention.ts';
import { type AcditConfig, POSITION_KINDS, PRESETS, validateConfig } from '../models/acdit/config.ts';
import { requireKnownFormat } from './format-version.ts';

/** Kinds of networks: how a user passes such a folder, and what to say of a configuration that does not fit. */
const KINDS = {
  acdit: {
    folder: 'an ACDiT model, which acdit sample, info and convert take as MODEL',
    otherwise: 'not the configuration of an ACDiT',
  },
  classifier: {
    folder: 'a classifier, which acdit evaluate takes as --network',
    otherwise: 'not the configuration of a classifier',
  },
  autoencoder: {
    folder: 'an autoencoder, which commands take as --vae',
    otherwise: 'no AutoencoderKL that is supported',
  },
} as const;

type Kind = keyof typeof KINDS;

/**
 * Parses the text of a `config.json` of a kind of network, and has it checked as a whole.
 * @throws {CheckpointError} if it is not one, naming its kind if that is known, or of a newer format; {ConfigError} if its numbers do not fit
 * together.
 */
export function parseConfigOf<T, C>(
  expected: Kind,
  text: string,
  name: string,
  schema: z.ZodType<T>,
  validate: (data: T) => C,
): C {
  const parsed = parseJson(text, name, CheckpointError);
  requireKnownFormat(parsed, name);
  const kind = kindOf(parsed);
  if (kind !== undefined && kind !== expected) {
    throw new CheckpointError(`${name}: describes ${KINDS[kind].folder}; expected ${KINDS[expected].folder}`);
  }
  const data = parseJsonOf(text, name, schema, KINDS[expected].otherwise, CheckpointError);
  try {
    return validate(data);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new ConfigError(`${name}: ${cause.message}`, { cause });
  }
}

function kindOf(config: unknown): Kind | undefined {
  const { modelType, _class_name: className } = isRecord(config) ? config : {};
  if (modelType === 'acdit' || modelType === 'classifier') return modelType;
  return modelType === undefined && className === 'AutoencoderKL' ? 'autoencoder' : undefined;
}

const schema = z.object({
  modelType: z.literal('acdit'),
  layers: z.number(),
  hidden: z.number(),
  heads: z.number(),
  mlpRatio: z.number(),
  classes: z.number(),
  classNames: z.array(z.string()).exactOptional(),
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
  positions: z.enum(POSITION_KINDS).exactOptional(),
  guidance: z.union([z.number(), guidanceSchema]).exactOptional(),
  preset: z.enum(PRESETS).exactOptional(),
  downsampling: z.number().exactOptional(),
  prediction: z.enum(PREDICTIONS).exactOptional(),
  noiseSchedule: z.enum(NOISE_SCHEDULES).exactOptional(),
  noiseShift: z.number().exactOptional(),
  contextNoise: z.number().exactOptional(),
  /** Checked with the whole configuration. */
  attention: z.custom<AttentionSetting>().exactOptional(),
  autoencoder: z
    .object({ fingerprint: z.string().regex(/^[\w-]{1,64}$/), scalingFactor: z.number().positive() })
    .exactOptional(),
});

/**
 * Parse the text of a `config.json`.
 * @throws {CheckpointError} if it is not one; {ConfigError} if its numbers do not fit together.
 */
export function parseConfig(text: string, name: string): AcditConfig {
  return parseConfigOf('acdit', text, name, schema, validateConfig);
}
