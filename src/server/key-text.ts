/** @file Checks the text of API keys. */

import { ArgumentError } from '../errors.ts';

/**
 * Returns an API key without the white space around it, such as the line break of the file that it came from.
 * @throws {ArgumentError} if nothing is left, or if a header cannot hold the rest; the message does not show the key
 */
export function cleanApiKey(key: string): string {
  const clean = key.trim();
  if (clean === '') {
    throw new ArgumentError('the API key is empty; give a key, or unset ACDIT_API_KEY to use none');
  }
  if (!/^[\x21-\x7e]+$/.test(clean)) {
    throw new ArgumentError(
      'the API key must consist of visible ASCII characters, without spaces; it contains others, which are not shown here',
    );
  }
  return clean;
}
