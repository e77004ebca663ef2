/** @file Checks that features were made in the same way: by one network, with the same weights and preprocessing. */

import { ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { EvaluationSet } from './evaluation-set.ts';

/** Settings of a protocol that make features incomparable. */
const NETWORK_SETTINGS: Readonly<Record<string, string>> = {
  weights: 'weights, by their fingerprint,',
  batchNormEpsilon: "epsilon of the network's batch norms",
  resize: 'way of resizing frames',
};

/** The part of a set that records how its features were made. */
type Provenance = Pick<EvaluationSet, 'name' | 'network' | 'protocol'>;

/**
 * Checks that two sets' features are of one network, with the same weights and preprocessing, if the sets record them.
 * @throws {ArgumentError} naming what differs.
 */
export function requireSameNetwork(reference: Provenance, samples: Provenance): void {
  if (
    reference.network !== undefined &&
    samples.network !== undefined &&
    reference.network !== samples.network
  ) {
    throw new ArgumentError(
      `${samples.name}: its features are of the network '${samples.network}', but those of ${reference.name} are of ` +
        `'${reference.network}'; use the same network for both`,
    );
  }
  for (const [key, name] of Object.entries(NETWORK_SETTINGS)) {
    const [a, b] = [reference.protocol?.[key], samples.protocol?.[key]];
    if (a === undefined || b === undefined || a === b) continue;
    throw new ArgumentError(
      `${samples.name}: the ${name} of its features is ${printable(b)}, and of ${reference.name} ${printable(a)}; compute ` +
        'the features of both in the same way',
    );
  }
}
