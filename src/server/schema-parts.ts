/** @file The parts that the schemas of requests and answers are made of. */

import { z } from 'zod';

export const count = z.int().nonnegative();
export const positive = z.int().positive();
export const base64 = z.string().describe('bytes as base64');

/** Matches a number above or equal to 0 as decimal digits. */
export const DECIMAL = /^\d+(?:\.\d+)?$/;

/** Makes a field optional; null, as in OpenAI's clients, means that it is left out. */
export const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);

/** Makes a field optional, with a default. */
export const withDefault = <T extends z.ZodType>(schema: T, value: z.output<T>) =>
  schema
    .nullish()
    .meta({ default: value })
    .transform((given): z.output<T> => given ?? value);
