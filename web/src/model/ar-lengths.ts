/** @file The same weights with the image divided differently: no weight depends on the number of blocks. */

import { attentionOf } from '../../../src/models/acdit/attention.ts';
import { type AcditConfig, tokenCount, validateConfig } from '../../../src/models/acdit/config.ts';
import type { ModelCard } from '../engine/engine.ts';

/** Returns the configuration with `blocks` blocks. @throws {ConfigError} if the image does not divide into them. */
export function withArLength(config: AcditConfig, blocks = config.blocks): AcditConfig {
  if (blocks === config.blocks) return config;
  return validateConfig({ ...config, blocks, blockSize: tokenCount(config) / blocks });
}

/** Max blocks that are offered. */
const MAX_BLOCKS = 64;

/**
 * Whether a model's images can be divided in other ways: a server divides them as they were trained, a table of attention has
 * rows for its own blocks only, and to a model that makes all blocks together they are one.
 */
export function canCompare({ source, config }: ModelCard): boolean {
  return source !== 'server' && !attentionOf(config).fixed && arLengths(config).length > 1;
}

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
