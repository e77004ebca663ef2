import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/checkpoints/load.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { compilePlan, denseMask, skipCausal } from '../../src/models/acdit/attention-plan.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { tokenPositions } from '../../src/models/acdit/layout.ts';
import { ropeTables, signedTables } from '../../src/models/acdit/rope.ts';
import { golden, relativeError } from '../support/golden.ts';

const shared: Partial<AcditConfig> = {
  modelType: 'acdit',
  layers: 2,
  hidden: 128,
  heads: 2,
  mlpRatio: 4,
  space: 'latents',
  channels: 4,
  height: 8,
  width: 8,
};
const configs: Record<string, Partial<AcditConfig>> = {
  'image-tiny': {
    classes: 10,
    frames: 1,
    patch: 1,
    blockSize: 16,
    blocks: 4,
    squareBlocks: true,
    positionSplit: [1, 1],
  },
  'video-tiny': {
    classes: 7,
    frames: 4,
    patch: 2,
    blockSize: 32,
    blocks: 2,
    squareBlocks: false,
    positionSplit: [2, 3, 3],
  },
};

describe.each(Object.keys(configs))('%s', (name) => {
  it('is read off the official checkpoint, with its tables', async () => {
    const { config, archive } = await openModel(golden(`${name}.pt`));
    await archive.close();
    expect(config).toEqual({ ...shared, ...configs[name] });

    const numbers = await openNpz(await openFile(golden(`${name}.npz`)));
    const tables = ropeTables(config);
    expect(relativeError(tables.cos, await numbers.read('rope.cos'))).toBeLessThan(1e-5);
    expect(relativeError(tables.sin, await numbers.read('rope.sin'))).toBeLessThan(1e-5);
    const positions = tokenPositions(config).flatMap((axis) => Array.from(axis));
    expect(positions).toEqual(Array.from((await numbers.read('position_ids')).data, Number));
    const { blocks, blockSize } = config;
    for (const tileTokens of [1, 48, 1000]) {
      const plan = compilePlan(2 * blocks, blockSize, skipCausal(blocks), { tileTokens });
      expect(denseMask(plan)).toEqual((await numbers.read('scam.mask')).data);
    }
    await numbers.close();
  });

  it('has signed sines that turn x cos + swapped x sin into the rotation', async () => {
    const { config, archive } = await openModel(golden(`${name}.pt`));
    await archive.close();
    const tables = ropeTables(config);
    const signed = signedTables(tables);
    expect(signed.cos).toBe(tables.cos);
    for (const [i, value] of signed.sin.data.entries()) {
      expect(value).toBe(i % 64 < 32 ? -tables.sin.data[i] : tables.sin.data[i]);
    }
  });
});
