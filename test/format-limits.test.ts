/**
 * @file Small files that ask for much: at each reader's limit a file is read, above it the file is refused. The limits
 * of memory are 1 GB for any of them; those of time are generous, since the machine may be busy.
 */
// @module-tag slow

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeNpy, npyHeader } from '../src/formats/npy.ts';
import { encodeZip } from '../src/formats/zip.ts';
import { directoryEnd, directoryHeader, localHeader, type ZipEntry } from '../src/formats/zip-writer.ts';
import { float32, tensorBytes } from '../src/tensor/tensor.ts';
import { checkpoint, dict, int, pickle, tensor, text, tuple } from './support/pickle-writer.ts';
import { type ReadCost, readInChild } from './support/read-in-child.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const MAX_MEGABYTES = 1000;
const MAX_SECONDS = 20;

function read(name: string, bytes: Uint8Array): ReadCost {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return readInChild(path);
}

function expectRead(name: string, bytes: Uint8Array, count: number): void {
  const cost = read(name, bytes);
  expect(cost).toMatchObject({ count });
  expectCheap(cost);
}

function expectRefused(name: string, bytes: Uint8Array, message: RegExp): void {
  const cost = read(name, bytes);
  expect(cost.error).toMatch(/^FormatError: /);
  expect(cost.error).toMatch(message);
  expectCheap(cost);
}

function expectCheap({ megabytes, seconds }: ReadCost): void {
  expect(megabytes).toBeLessThan(MAX_MEGABYTES);
  expect(seconds).toBeLessThan(MAX_SECONDS);
}

/** Empty npy files of one byte each, without content of their own: all entries name the first. */
function zipOf(members: number): Uint8Array {
  const content = encodeNpy(float32([0], []));
  const entries = Array.from(
    { length: members },
    (_, i): ZipEntry => ({
      name: Buffer.from(`${i}.npy`),
      crc: 0,
      size: content.length,
      offset: 0,
    }),
  );
  const first = Buffer.concat([localHeader(entries[0], 1), content]);
  const directory = Buffer.concat(entries.map(directoryHeader));
  const end = directoryEnd(members, first.length, first.length + directory.length);
  return Buffer.concat([first, directory, end]);
}

const storage = { 0: tensorBytes(float32([4], [1, 2, 3, 4])).slice() };

describe.sequential('limits of readers', { timeout: 120_000 }, () => {
  it('zip: 20,000 files', () => {
    expectRead('a.npz', zipOf(20_000), 20_000);
    expectRefused('a.npz', zipOf(20_001), /holds more than 20000 files, the most that are read/);
    expectRefused('a.pt', zipOf(300_000), /holds more than 20000 files/);
  });

  it('npz: 256 MB from less than an eighth of that', async () => {
    const npz = async (size: number): Promise<Uint8Array> => {
      const header = npyHeader('uint8', [size]);
      const bytes = new Uint8Array(header.length + size);
      bytes.set(header);
      return encodeZip([['a.npy', bytes]], true);
    };
    const limit = 256 * 2 ** 20 - npyHeader('uint8', [256 * 2 ** 20]).length;
    expectRead('a.npz', await npz(limit), 1);
    expectRefused(
      'a.npz',
      await npz(limit + 1),
      /a.npy: inflates to 268435457 bytes, more than the limit of 268435456 for compressed data/,
    );
  });

  it('compressed checkpoints: each storage is inflated once for all its tensors', async () => {
    const count = 2 ** 22;
    const entries = Array.from({ length: 400 }, (_, i): [string, string] => [
      `w${i}`,
      tensor({ count: int(count), offset: int(i), shape: [int(1)] }),
    ]);
    const model = pickle(dict(Object.fromEntries(entries)));
    expectRead('a.pt', await checkpoint(model, { 0: new Uint8Array(4 * count) }, { compress: true }), 400);
  });

  it('pickles: a million values more by sharing', async () => {
    // Each layer holds the one before ten times.
    const ten = Array.from({ length: 10 }, (_, key) => `${text(String(key))}h\x00`).join('');
    const shared = (layers: number): string => `${tensor()}q\x00${`0(${ten}dq\x00`.repeat(layers)}`;
    expectRead('a.pt', await checkpoint(pickle(shared(4)), storage), 10_000);
    expectRefused(
      'a.pt',
      await checkpoint(pickle(shared(12)), storage),
      /shared values would add more than 1000000 once written out/,
    );
  });

  it('pickles: paths of 1000 characters, however often a long key is shared', async () => {
    const nested = (length: number, levels: number): string => {
      const key = `X${String.fromCharCode(length & 255, length >> 8, 0, 0)}${'k'.repeat(length)}q\x01`;
      return `${key}0${tensor()}${'q\x000}h\x01h\x00s'.repeat(levels)}`;
    };
    expectRead('a.pt', await checkpoint(pickle(nested(99, 10)), storage), 1);
    expectRefused('a.pt', await checkpoint(pickle(nested(60_000, 100)), storage), /path .* is too long/);
  });

  it('checkpoints: keys that are lists are not written out to be named', async () => {
    const bomb = `)q\x000${`(${'h\x00'.repeat(4)}tq\x000`.repeat(9)}}h\x00Ns`;
    expectRead('a.pt', await checkpoint(pickle(tuple(bomb)), storage), 0);
  });

  it('TensorFlow graphs: 2^24 elements from one value', () => {
    const field = (number: number, ...bytes: number[]): number[] => [
      8 * number + 2,
      ...varint(bytes.length),
      ...bytes,
    ];
    const varint = (value: number): number[] =>
      value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
    const ascii = (word: string): number[] => [...Buffer.from(word)];
    const graph = (count: number): Uint8Array => {
      const shape = field(2, ...field(2, 8, ...varint(count)));
      const constant = field(8, 8, 1, ...shape, ...field(5, 0, 0, 0x80, 0x3f));
      const attribute = field(5, ...field(1, ...ascii('value')), ...field(2, ...constant));
      return Uint8Array.from(
        field(1, ...field(1, ...ascii('w')), ...field(2, ...ascii('Const')), ...attribute),
      );
    };
    expectRead('a.pb', graph(2 ** 24), 1);
    expectRefused(
      'a.pb',
      graph(2 ** 24 + 1),
      /repeats a value 16777217 times, and at most 16777216 are read/,
    );
  });
});
