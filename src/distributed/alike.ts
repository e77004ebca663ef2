/** @file Checks that ranks can work together: they must have the same software, settings and data. */

import { existsSync, readFileSync } from 'node:fs';
import { arch, hostname } from 'node:os';
import { at } from '../at.ts';
import { DeviceError } from '../errors.ts';
import { exchangeTexts, SharedFailure } from './agree.ts';
import type { Communicator } from './communicator.ts';

/** Vector extensions that matrix products and vector functions are chosen by, as Linux names them. */
const EXTENSIONS =
  /\b(sse4_2|avx|avx2|fma|f16c|avx512(f|bw|dq|vl|_vnni|_bf16)|avx_vnni|amx_(tile|int8|bf16)|asimd\w*|sve2?|i8mm|bf16)\b/g;

/** What results may depend on in a processor: the same numbers can only be expected of two that are alike. */
export function processorKind(): string {
  const path = '/proc/cpuinfo';
  const [, flags = ''] =
    /^(?:flags|Features)\s*:(.*)$/m.exec(existsSync(path) ? readFileSync(path, 'utf8') : '') ?? [];
  return `${arch()} ${[...new Set(flags.match(EXTENSIONS))].sort().join(' ')}`.trim();
}

/**
 * Checks that facts, by what they are called, are the same on all ranks. Collective.
 * @throws {DeviceError} on the first rank, and {SharedFailure} on the others, naming the first fact and rank that differ.
 */
export async function requireAlike(
  ranks: Communicator,
  facts: Readonly<Record<string, string>>,
): Promise<void> {
  const all = await factsOfAll(ranks, facts);
  for (const [rank, { host, ...own }] of all.entries()) {
    const differing = Object.keys(facts).find((name) => own[name] !== at(all, 0)[name]);
    if (differing === undefined) continue;
    const message =
      `${differing} of rank ${rank} on ${host} is ${own[differing]}, but ${at(all, 0)[differing]} on ${at(all, 0).host}: ` +
      'all ranks must have the same';
    throw ranks.rank === 0 ? new DeviceError(message) : new SharedFailure(message);
  }
}

/** Facts of all ranks, and their machines. Collective. */
export async function factsOfAll(
  ranks: Communicator,
  facts: Readonly<Record<string, string>>,
): Promise<Record<string, string>[]> {
  const texts = await exchangeTexts(ranks, JSON.stringify({ ...facts, host: hostname() }));
  return texts.map((text) => JSON.parse(text) as Record<string, string>);
}
