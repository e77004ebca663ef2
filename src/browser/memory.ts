/** @file Whether a model fits into the memory that a browser gives to a page. */

import { ArgumentError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { AutoencoderConfig } from '../models/autoencoder/config.ts';
import { decodingMemory } from '../models/autoencoder/memory.ts';
import { samplingMemory } from '../sampling/memory.ts';

/** WebAssembly addresses no more than this. */
const WASM_BYTES = 4 * 2 ** 30;
/** Share of the machine's memory that a page may count on. */
const SHARE = 0.5;
const GB = 1e9;

/**
 * Bytes that a page may use: half of the machine's, if the browser reports it, and at most what WebAssembly addresses.
 */
export function availableMemory(): number {
  const { navigator } = globalThis as { navigator?: { deviceMemory?: number } };
  const gigabytes = navigator?.deviceMemory;
  return gigabytes === undefined ? WASM_BYTES : Math.min(WASM_BYTES, SHARE * gigabytes * 2 ** 30);
}

/**
 * Check, before anything is loaded, that a model can be sampled from.
 * @returns the bytes that sampling will take.
 * @throws {ArgumentError} if they are more than there are.
 */
export function requireMemory(
  config: AcditConfig,
  { samples = 1, steps = 25, available = availableMemory() } = {},
): number {
  const { total } = samplingMemory(config, samples, { guided: true, steps });
  return requireBytes('this model needs', total, available);
}

/**
 * The same for a model of latents together with the autoencoder that decodes them.
 * @returns the bytes that both will take.
 * @throws {ArgumentError} if they are more than there are.
 */
export function requireDecodingMemory(
  config: AcditConfig,
  autoencoder: AutoencoderConfig,
  { samples = 1, steps = 25, available = availableMemory() } = {},
): number {
  const { total } = samplingMemory(config, samples, { guided: true, steps });
  const bytes = total + decodingMemory(autoencoder, config.height, config.width);
  return requireBytes('this model and the autoencoder need', bytes, available);
}

function requireBytes(what: string, bytes: number, available: number): number {
  if (bytes <= available) return bytes;
  throw new ArgumentError(
    `${what} ${(bytes / GB).toFixed(1)} GB of memory, and a page here can use about ${(available / GB).toFixed(1)} GB; ` +
      'take a smaller model, or sample on a server',
  );
}
