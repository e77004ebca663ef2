/** @file Distinguishes the configurations of this package's kinds of networks, since all their folders look the same. */

import { CheckpointError } from '../errors.ts';
import { parseJson } from '../io/json.ts';

/** Kinds of networks, with how a user passes such a folder. */
const KINDS = {
  acdit: 'an ACDiT model, which acdit sample, info and convert take as MODEL',
  classifier: 'a classifier, which acdit evaluate takes as --network',
  autoencoder: 'an autoencoder, which commands take as --vae',
} as const;

type Kind = keyof typeof KINDS;

/**
 * Check that a configuration is not known to be of another kind.
 * @param text of the `config.json`; any other problem is left to its parser.
 * @throws {CheckpointError} naming both kinds and what to do; also if it is not JSON.
 */
export function requireConfigKind(text: string, name: string, expected: Kind): void {
  const kind = kindOf(parseJson(text, name, CheckpointError));
  if (kind === undefined || kind === expected) return;
  throw new CheckpointError(`${name}: describes ${KINDS[kind]}; expected ${KINDS[expected]}`);
}

function kindOf(config: unknown): Kind | undefined {
  if (typeof config !== 'object' || config === null) return undefined;
  if ('modelType' in config) {
    const { modelType } = config;
    return modelType === 'acdit' || modelType === 'classifier' ? modelType : undefined;
  }
  return '_class_name' in config && config._class_name === 'AutoencoderKL' ? 'autoencoder' : undefined;
}
