/** @file Small IDX datasets, made in code. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** The bytes of an IDX file of unsigned bytes. */
export function idxBytes(shape: readonly number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x0800 + shape.length);
  shape.forEach((dim, i) => {
    view.setUint32(4 + 4 * i, dim);
  });
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

export interface IdxFixture {
  readonly count: number;
  readonly side: number;
  readonly classes: number;
  readonly prefix?: 'train' | 't10k';
  readonly gzip?: boolean;
}

/**
 * Write a dataset whose image i has all pixels i % 256 and label i % classes. Returns the folder.
 */
export function writeIdxDataset(folder: string, fixture: IdxFixture): string {
  const { count, side, classes, prefix = 'train', gzip = true } = fixture;
  const images = Uint8Array.from({ length: count * side * side }, (_, i) => Math.floor(i / (side * side)));
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  const save = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, gzip ? `${name}.gz` : name), gzip ? gzipSync(bytes) : bytes);
  };
  mkdirSync(folder, { recursive: true });
  save(`${prefix}-images-idx3-ubyte`, idxBytes([count, side, side], images));
  save(`${prefix}-labels-idx1-ubyte`, idxBytes([count], labels));
  return folder;
}
