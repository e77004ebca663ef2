import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, type Tensor, tensor } from '../../tensor/tensor.ts';
import type { LazyTensor } from '../tensor-archive.ts';
import { isTorchTensor, openTorchCheckpoint, type TorchValue } from './checkpoint.ts';
import { type TorchInput, writeTorchCheckpoint } from './writer.ts';

async function written(value: TorchInput): Promise<{ bytes: Uint8Array; read: TorchValue }> {
  const path = join(temporaryFolder(), 'it.pt');
  await writeTorchCheckpoint(path, value);
  const bytes = new Uint8Array(readFileSync(path));
  return { bytes, read: (await openTorchCheckpoint(bytesSource(bytes))).value };
}

const dict = (entries: Record<string, TorchInput>): ReadonlyMap<string, TorchInput> =>
  new Map(Object.entries(entries));

const everyType: Tensor[] = [
  float32([2, 3], [1, 2, 3, 4, 5, 6]),
  tensor('float64', [2], Float64Array.of(Math.PI, -0)),
  tensor('float16', [2], Uint16Array.of(0x3c00, 0xc000)),
  tensor('bfloat16', [2], Uint16Array.of(0x3f80, 0xc000)),
  tensor('int64', [], BigInt64Array.of(-7n)),
  tensor('int32', [3], Int32Array.of(1, -2, 3)),
  tensor('int16', [1], Int16Array.of(-2)),
  tensor('int8', [1], Int8Array.of(-2)),
  tensor('uint8', [2], Uint8Array.of(0, 255)),
  tensor('bool', [2], Uint8Array.of(0, 1)),
  float32([0, 4], []),
];

describe('writeTorchCheckpoint', () => {
  it('writes tensors of every type', async () => {
    const entries = new Map(everyType.map((value, i) => [`${i} ${value.dtype}`, value]));
    const { read } = await written({ kind: 'ordered-dict', entries });
    for (const [name, value] of entries) {
      const found = (read as Map<string, TorchValue>).get(name);
      expect(isTorchTensor(found), name).toBe(true);
      if (isTorchTensor(found)) expect(await found.read()).toEqual(value);
    }
  });

  it('writes plain values, however nested', async () => {
    const scalar = fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.double({ noNaN: true }),
      fc.maxSafeInteger(),
      fc.integer(),
      fc.string({ unit: 'grapheme' }),
    );
    const { value } = fc.letrec<{ value: TorchInput; list: TorchInput; dict: TorchInput }>((tie) => ({
      value: fc.oneof({ depthSize: 'small' }, scalar, tie('list'), tie('dict')),
      list: fc.array(tie('value'), { maxLength: 5 }),
      dict: fc
        .array(fc.tuple(fc.string(), tie('value')), { maxLength: 5 })
        .map((entries) => new Map<string, TorchInput>(entries)),
    }));
    await fc.assert(
      fc.asyncProperty(value, async (input) => {
        expect((await written(input)).read).toEqual(input);
      }),
      { numRuns: 60 },
    );
  });

  it('remembers more names than one byte counts', async () => {
    const names = Array.from({ length: 700 }, (_, i) => `name ${i % 350}`);
    expect((await written(names)).read).toEqual(names);
  });

  it('writes an argparse.Namespace', async () => {
    const entries = dict({ model: 'ACDiT-B', patch_size: 1, ratio: 1.5, square_block: true, nd_split: null });
    const { read } = await written(dict({ args: { kind: 'namespace', entries } }));
    expect((read as Map<string, TorchValue>).get('args')).toEqual({
      kind: 'namespace',
      className: 'argparse.Namespace',
      attributes: entries,
    });
  });

  it('aligns storages, so that PyTorch can map them', async () => {
    const { bytes } = await written(
      dict({ a: float32([1], [1]), b: float32([1], [1234.5]), c: everyType[0] }),
    );
    const at = Buffer.from(bytes).indexOf(Buffer.from(Float32Array.of(1234.5).buffer));
    expect(at).toBeGreaterThan(0);
    expect(at % 64).toBe(0);
  });

  it('depends on nothing but the values', async () => {
    const value = dict({ a: float32([1], [1]) });
    expect((await written(value)).bytes).toEqual((await written(value)).bytes);
  });

  it('reads lazy tensors one after the other, and stops when asked', async () => {
    const folder = temporaryFolder();
    const controller = new AbortController();
    let open = 0;
    let reads = 0;
    const lazy: LazyTensor = {
      dtype: 'float32',
      shape: [1],
      async read() {
        expect(++open).toBe(1);
        await new Promise((resolve) => setTimeout(resolve, 1));
        open--;
        if (++reads === 3) controller.abort();
        return float32([1], [reads]);
      },
    };
    const value = Array.from({ length: 5 }, () => lazy);
    await expect(writeTorchCheckpoint(join(folder, 'x.pt'), value, controller.signal)).rejects.toThrow(
      /abort/,
    );
    expect(reads).toBe(3);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses what the format has no storage for, and tensors of another size than they say', async () => {
    const path = join(temporaryFolder(), 'x.pt');
    const unsigned = tensor('uint32', [1], Uint32Array.of(1));
    await expect(writeTorchCheckpoint(path, unsigned)).rejects.toThrow(
      /no storage of uint32; convert it to one of/,
    );
    const short: LazyTensor = { dtype: 'float32', shape: [2], read: async () => float32([1], [1]) };
    await expect(writeTorchCheckpoint(path, short)).rejects.toThrow(/takes 8 bytes but has 4/);
  });
});
