/** @file The same weights with the picture divided otherwise: no weight depends on the number of blocks. */

import { type AcditConfig, tokenCount, validateConfig } from '../../../src/models/acdit/config.ts';

/** A configuration with `blocks` blocks. @throws {ConfigError} if the picture does not divide so. */
export function withArLength(config: AcditConfig, blocks = config.blocks): AcditConfig {
  if (blocks === config.blocks) return config;
  return validateConfig({ ...config, blocks, blockSize: tokenCount(config) / blocks });
}

/** Most blocks that are offered. */
const MOST = 64;

/** All numbers of blocks that a picture divides into. */
export function arLengths(config: AcditConfig): number[] {
  return Array.from({ length: Math.min(MOST, tokenCount(config)) }, (_, i) => i + 1).filter((blocks) => {
    try {
      withArLength(config, blocks);
      return true;
    } catch {
      return false;
    }
  });
}
