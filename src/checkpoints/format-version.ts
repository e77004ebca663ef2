/**
 * @file The format of model folders, by number: a folder that earlier versions of acdit would misread names the version that it
 * needs.
 */

import { CheckpointError } from '../errors.ts';
import { isRecord } from '../io/json.ts';
import { printable } from '../io/printable.ts';

/** The newest format that is read. 1 has no number; 2 may have weights in 8 bits. */
const FORMAT = 2;

/** What `config.json` says of a folder with weights in 8 bits. */
export const ROUNDED_FORMAT = { format: 2, needs: '0.2.0' } as const;

/**
 * Name of a tensor without elements in files with weights in 8 bits. Versions before 0.2 do not look for a format, but their
 * message names the tensors that they do not know, this one first.
 */
export const ROUNDED_MARKER = `stored in 8 bits: needs acdit ${ROUNDED_FORMAT.needs} or newer`;

/** @throws {CheckpointError} if a parsed `config.json` is of a newer format, with the version that reads it */
export function requireKnownFormat(config: unknown, name: string): void {
  const { format = 1, needs } = isRecord(config) ? config : {};
  if (typeof format === 'number' && format <= FORMAT) return;
  const version =
    typeof needs === 'string' ? `acdit ${printable(needs)} or newer` : 'a newer version of acdit';
  throw new CheckpointError(
    `${name}: this folder needs ${version}: its format is ${printable(format)}, and this version reads ${FORMAT} at most`,
  );
}
