/** @file A folder for the files of each test. */

import { join } from 'node:path';
import { beforeEach } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';

/**
 * Makes a new folder before each test of the calling file, which is removed when the test ends.
 * @returns a function that joins names to the path of the running test's folder.
 */
export function folderOfEachTest(): (...names: string[]) => string {
  let folder = '';
  beforeEach(() => {
    folder = temporaryFolder();
  });
  return (...names) => join(folder, ...names);
}
