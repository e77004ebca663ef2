/** @file JSON texts of files that anyone may have written, checked against a schema. */

import type { z } from 'zod';

/** An error class of this package. */
type Fault = new (message: string, options?: ErrorOptions) => Error;

/** More would not help to tell what a file is. */
const SHOWN_PROBLEMS = 5;

/** Parse a text. @throws {Fault} if it is no JSON. */
export function parseJson(text: string, name: string, Fault: Fault): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault(`${name}: not valid JSON (${(cause as Error).message})`, { cause });
  }
}

/**
 * Parse a text and check what it holds.
 * @param otherwise what to say of a file that does not fit, before what does not fit.
 * @throws {Fault} if it is no JSON, or does not fit the schema.
 */
export function parseJsonOf<T>(
  text: string,
  name: string,
  schema: z.ZodType<T>,
  otherwise: string,
  Fault: Fault,
): T {
  const result = schema.safeParse(parseJson(text, name, Fault));
  if (result.success) return result.data;
  const { issues } = result.error;
  const problems = issues
    .slice(0, SHOWN_PROBLEMS)
    .map(({ path, message }) => `${path.join('.') || 'file'}: ${message}`);
  const more = issues.length > SHOWN_PROBLEMS ? `; and ${issues.length - SHOWN_PROBLEMS} more` : '';
  throw new Fault(`${name}: ${otherwise}: ${problems.join('; ')}${more}`);
}
