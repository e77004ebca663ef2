/** @file The same weights with the image divided differently: no weight depends on the number of blocks. */

import { type AcditConfig, tokenCount, validateConfig } from '../../../src/models/acdit/config.ts';

/** Returns the configuration with `blocks` blocks. @throws {ConfigError} if the image does not divide into them. */
export function withArLength(config: AcditConfig, blocks = config.blocks): AcditConfig {
  if (blocks === config.blocks) return config;
  return validateConfig({ ...config, blocks, blockSize: tokenCount(config) / blocks });
}

/** Max blocks that are offered. */
const MAX_BLOCKS = 64;

/** Returns all numbers of blocks that an image divides into. */
export function arLengths(config: AcditConfig): number[] {
  return Array.from({ length: Math.min(MAX_BLOCKS, tokenCount(config)) }, (_, i) => i + 1).filter(
    (blocks) => {
      try {
        withArLength(config, blocks);
        return true;
      } catch {
        return false;
      }
    },
  );
}
