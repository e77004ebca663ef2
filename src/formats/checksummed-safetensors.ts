/**
 * @file Safetensors files with checksums that show damage (Node only). The metadata holds the CRC-32 of every tensor and
 * of itself; a tensor that is read row by row is followed by another one with the CRC-32 of each row. To other programs
 * they are ordinary safetensors files.
 */

import { z } from 'zod';
import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { type Tensor, tensor, tensorBytes } from '../tensor/tensor.ts';
import { openSafetensors, type SafetensorsArchive } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';
import type { LazyTensor, Metadata, Named } from './tensor-archive.ts';
import { checksum } from './zip-writer.ts';

/** Keys of the metadata: the checksums of the tensors, as JSON, and the one of everything else in the metadata. */
const TENSORS = 'checksums';
const METADATA = 'checksum';
/** Ends the name of a tensor's row checksums. */
const ROWS = '.row_checksums';

const checksumsSchema = z.record(z.string(), z.int().min(0));

/**
 * Writes tensors and their checksums, atomically. Lazy tensors are read twice: for their checksums, and to be written.
 * @param rowwise names of tensors of which {@link SafetensorsArchive.readRows} is to read parts.
 * @throws {AcditError} if the file cannot be written; the old file then stays whole.
 */
export async function writeChecksummedSafetensors(
  path: string,
  tensors: readonly Named<Tensor | LazyTensor>[],
  metadata: Metadata = {},
  rowwise: readonly string[] = [],
): Promise<void> {
  const all: Named<Tensor | LazyTensor>[] = [];
  const sums: Record<string, number> = {};
  const add = (name: string, stored: Tensor | LazyTensor, value: Tensor): void => {
    all.push([name, stored]);
    sums[name] = tensorChecksum(name, value);
  };
  for (const [name, stored] of tensors) {
    const value = 'read' in stored ? await stored.read() : stored;
    add(name, stored, value);
    if (!rowwise.includes(name)) continue;
    const rows = rowChecksums(value);
    add(name + ROWS, rows, rows);
  }
  const described = { ...metadata, [TENSORS]: JSON.stringify(sums) };
  await writeSafetensors(path, all, { ...described, [METADATA]: String(metadataChecksum(described)) });
}

/**
 * Opens a file of {@link writeChecksummedSafetensors}, whose tensors and rows are checked as they are read. It takes over the
 * source, closing it on failure.
 * @param isEarlier says of the metadata of a file without checksums whether an earlier version wrote it; such a file is
 * opened unchecked.
 * @throws {FormatError} if the header is damaged, or there are no checksums; reading throws it for a damaged tensor.
 */
export function openChecksummedSafetensors(
  source: ByteSource,
  isEarlier: (metadata: Metadata) => boolean = () => false,
): Promise<SafetensorsArchive> {
  return closingOnError(source, async () => {
    const archive = await openSafetensors(source);
    const { [METADATA]: sum, [TENSORS]: tensorSums, ...rest } = archive.metadata;
    if (sum === undefined && tensorSums === undefined && isEarlier(rest)) return archive;
    const sums = checksumsOf(archive, source.name);
    const rowSums = new Map<string, Promise<Int32Array>>();
    const damaged = (what: string): FormatError =>
      new FormatError(`${source.name}: ${what} is damaged: its checksum is wrong`);

    async function read(name: string, room?: Uint8Array): Promise<Tensor> {
      const value = await archive.read(name, room);
      if (tensorChecksum(name, value) !== sums[name]) throw damaged(printable(name));
      return value;
    }
    async function sumsOfRows(name: string): Promise<Int32Array> {
      const known = rowSums.get(name) ?? read(name + ROWS).then(({ data }) => data as Int32Array);
      rowSums.set(name, known);
      return known;
    }
    return {
      ...archive,
      read,
      async readRows(name, first, count) {
        const value = await archive.readRows(name, first, count);
        const expected = await sumsOfRows(name);
        const wrong = rowChecksums(value).data.findIndex((sum, i) => sum !== expected[first + i]);
        if (wrong >= 0) throw damaged(`row ${first + wrong} of ${printable(name)}`);
        return value;
      },
    };
  });
}

function checksumsOf({ metadata, names }: SafetensorsArchive, source: string): Record<string, number> {
  const { [METADATA]: sum, ...described } = metadata;
  if (sum === undefined || described[TENSORS] === undefined) {
    throw new FormatError(
      `${source}: its metadata holds no checksums; it is damaged, or of an earlier version`,
    );
  }
  if (Number(sum) !== metadataChecksum(described)) {
    throw new FormatError(`${source}: its metadata is damaged: the checksum is wrong`);
  }
  const sums = parseJsonOf(
    described[TENSORS],
    source,
    checksumsSchema,
    'its metadata holds no valid checksums',
    FormatError,
  );
  const unknown = names.find((name) => !Object.hasOwn(sums, name));
  if (unknown !== undefined)
    throw new FormatError(`${source}: its tensor ${printable(unknown)} has no checksum`);
  return sums;
}

function metadataChecksum(metadata: Metadata): number {
  return checksum(new TextEncoder().encode(JSON.stringify(metadata)));
}

/** Covers its name, element type and shape too, which the header holds. */
function tensorChecksum(name: string, value: Tensor): number {
  const described = new TextEncoder().encode(`${name} ${value.dtype} ${value.shape.join()}`);
  return checksum(tensorBytes(value), checksum(described));
}

/** (rows): the CRC-32 of each, as signed numbers. */
function rowChecksums(value: Tensor): Tensor<'int32'> {
  const rows = at(value.shape, 0);
  const bytes = tensorBytes(value);
  const rowBytes = rows === 0 ? 0 : bytes.length / rows;
  const sums = Int32Array.from({ length: rows }, (_, i) =>
    checksum(bytes.subarray(i * rowBytes, (i + 1) * rowBytes)),
  );
  return tensor('int32', [rows], sums);
}
