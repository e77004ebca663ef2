/** @file Warnings: features that these models do not have, and what the server notes about a prompt. */

import type { SharedV4Warning } from '@ai-sdk/provider';

/** One for each feature that was asked for: whose value is there, and no empty list and not `false`. */
export function unsupported(
  what: 'pictures' | 'clips',
  features: Readonly<Record<string, unknown>>,
): SharedV4Warning[] {
  return Object.entries(features)
    .filter(([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && !value.length))
    .map(([feature]) => ({
      type: 'unsupported',
      feature,
      details: `the model makes ${what} of one size from classes alone`,
    }));
}

/** The server's notes as warnings. */
export function noted(notes: readonly string[] = []): SharedV4Warning[] {
  return notes.map((message) => ({ type: 'other', message }));
}
