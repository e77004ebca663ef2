/** @file What a classifier of small images is: its size, and what it tells apart. */

import { ConfigError } from '../../errors.ts';
import { printableList } from '../../io/printable.ts';

/** The configuration as `config.json` holds it. */
export interface ClassifierConfig {
  readonly modelType: 'classifier';
  /** What to call it, and what its features are said to be of. */
  readonly name: string;
  /** One a class. */
  readonly classNames: readonly string[];
  /** 1 or 3. */
  readonly channels: number;
  /** Side of the square images that it sees. */
  readonly imageSize: number;
  /** Channels of each stage; a stage halves height and width. Those of the last are the features. */
  readonly widths: readonly number[];
  /** Share of the test images that it names rightly, where that was measured. */
  readonly testAccuracy?: number;
}

/**
 * Check a configuration as a whole.
 * @throws {ConfigError} naming the first field that does not fit.
 */
export function validateClassifier(config: ClassifierConfig): ClassifierConfig {
  const fail = (problem: string): never => {
    throw new ConfigError(`classifier configuration: ${problem}`);
  };
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  const { classNames, channels, imageSize, widths, testAccuracy } = config;
  if (classNames.length < 2) fail(`classNames must be at least 2, got ${classNames.length}`);
  if (channels !== 1 && channels !== 3) fail(`channels must be 1 or 3, got ${channels}`);
  if (widths.length === 0 || !widths.every(isCount)) {
    fail(`widths must be whole numbers above 0, one per stage, got [${printableList(widths)}]`);
  }
  const factor = 2 ** widths.length;
  if (!isCount(imageSize) || imageSize % factor !== 0) {
    fail(`imageSize must be a multiple of ${factor}, which ${widths.length} stages halve, got ${imageSize}`);
  }
  if (testAccuracy !== undefined && !(testAccuracy >= 0 && testAccuracy <= 1)) {
    fail(`testAccuracy must be 0 to 1, got ${testAccuracy}`);
  }
  return config;
}
