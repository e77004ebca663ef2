/** @file The error for an option that is not valid. */

import { ArgumentError } from './errors.ts';

/** Makes the error for an option that is not valid. @param problem continues a sentence that begins with the option's name. */
export function invalidOption(name: string, problem: string, options: ErrorOptions = {}): ArgumentError {
  return new ArgumentError(`${name} ${problem}`, { ...options, field: name, problem });
}
