/** @file The models of the paper. */

import { ACDIT_SIZES, type AcditConfig } from './config.ts';

export type SizeName = keyof typeof ACDIT_SIZES;
export const SIZE_NAMES = Object.keys(ACDIT_SIZES) as SizeName[];

/** The models of the paper: ImageNet at 256 pixels and UCF-101 with 16 frames, in latents of 32 x 32. */
export function paperConfig(size: SizeName, kind: 'image' | 'video'): AcditConfig {
  const common = {
    modelType: 'acdit',
    ...ACDIT_SIZES[size],
    mlpRatio: 4,
    space: 'latents',
    channels: 4,
    height: 32,
    width: 32,
    blocks: 4,
  } as const;
  return kind === 'image'
    ? {
        ...common,
        classes: 1000,
        frames: 1,
        patch: 1,
        blockSize: 256,
        squareBlocks: true,
        positionSplit: [1, 1],
      }
    : {
        ...common,
        classes: 101,
        frames: 16,
        patch: 2,
        blockSize: 1024,
        squareBlocks: false,
        positionSplit: [2, 3, 3],
      };
}
