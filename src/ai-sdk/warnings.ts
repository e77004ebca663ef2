/** @file Warnings: features that these models do not have, and what the server notes about a prompt. */

import type { SharedV3Warning } from '@ai-sdk/provider';

/** Returns a warning if the samples have another size than was asked for: OpenAI's sizes stand for the model's own. */
export function otherSize(
  feature: 'size' | 'resolution',
  asked: string | undefined,
  made: string,
): SharedV3Warning[] {
  if (asked === undefined || asked === made) return [];
  return [{ type: 'unsupported', feature, details: `the model makes samples of ${made}, not ${asked}` }];
}

/** One for each feature that was asked for: whose value is there, and no empty list and not `false`. */
export function unsupported(
  what: 'images' | 'videos',
  features: Readonly<Record<string, unknown>>,
): SharedV3Warning[] {
  return Object.entries(features)
    .filter(([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && !value.length))
    .map(([feature]) => ({
      type: 'unsupported',
      feature,
      details: `the model makes ${what} of one size from classes alone`,
    }));
}

/** The server's notes as warnings. */
export function noted(notes: readonly string[] = []): SharedV3Warning[] {
  return notes.map((message) => ({ type: 'other', message }));
}
