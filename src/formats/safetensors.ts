/** @file The safetensors format (https://github.com/huggingface/safetensors): reading by ranges, and encoding. */

import { z } from 'zod';
import { FormatError } from '../errors.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { isRecord, parseJson } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { LOOKED_AT, mistakenFile } from '../io/wrong-file-kind.ts';
import { joinArrays } from '../tensor/axes.ts';
import { bytesPerElement, type DType, elementCount, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import { checkedElementCount, tensorFromBytes } from './elements.ts';
import {
  archiveOf,
  findTensor,
  type Metadata,
  type Named,
  type TensorArchive,
  type TensorInfo,
} from './tensor-archive.ts';

const codes: Record<DType, string> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint64: 'U64',
  uint32: 'U32',
  uint16: 'U16',
  uint8: 'U8',
  bool: 'BOOL',
};
const dtypes = new Map(Object.entries(codes).map(([dtype, code]) => [code, dtype as DType]));

/** The same cap as the reference implementation's. */
const MAX_HEADER = 100_000_000;
/** Bytes of the header's length. */
const PREFIX = 8;
const METADATA = '__metadata__';

/** Where a tensor is, counted from the end of the header. */
interface Entry extends TensorInfo {
  readonly begin: number;
  readonly end: number;
}

/** A safetensors file, whose tensors can be read in parts. */
export interface SafetensorsArchive extends TensorArchive {
  /**
   * Rows `first` to `first + count` of a tensor, along its first dimension.
   * @throws {FormatError} if there is no such tensor, it has no such rows, or they cannot be read.
   */
  readRows(name: string, first: number, count: number): Promise<Tensor>;
}

/**
 * Open a safetensors file: only its header is read. It takes over the source, closing it on failure.
 * @throws {FormatError} if the header is damaged, or its tensors overlap, leave gaps or reach beyond the file.
 */
export function openSafetensors(source: ByteSource): Promise<SafetensorsArchive> {
  return closingOnError(source, async () => {
    const { header, dataOffset } = await readHeader(source);
    const entries = new Map<string, Entry>();
    for (const [name, value] of Object.entries(header)) {
      if (name !== METADATA) entries.set(name, parseEntry(value, `${source.name}/${printable(name)}`));
    }
    checkCoverage(entries, source.size - dataOffset, source.name);
    const missing = `${source.name}: holds no tensor`;
    const archive = archiveOf({
      tensors: entries,
      missing,
      metadata: parseMetadata(header[METADATA], source.name),
      async read({ dtype, shape, begin, end }, room) {
        return tensorFromBytes(dtype, shape, await source.read(dataOffset + begin, end - begin, room));
      },
      placeOf: ({ begin }) => source.file && { file: source.file, offset: dataOffset + begin },
      files: source.file ? [source.file] : [],
      close: () => source.close(),
    });
    return {
      ...archive,
      async readRows(name, first, count) {
        const { dtype, shape, begin, end } = findTensor(entries, name, missing);
        const [rows, ...row] = shape;
        if (rows === undefined || !(first >= 0 && count >= 0 && first + count <= rows)) {
          throw new FormatError(
            `${source.name}/${printable(name)}: has shape [${shape}], so no rows ${first} to ${first + count}`,
          );
        }
        const rowBytes = rows === 0 ? 0 : (end - begin) / rows;
        const bytes = await source.read(dataOffset + begin + first * rowBytes, count * rowBytes);
        return tensorFromBytes(dtype, [count, ...row], bytes);
      },
    };
  });
}

async function readHeader(
  source: ByteSource,
): Promise<{ header: Record<string, unknown>; dataOffset: number }> {
  const start = await source.read(0, Math.min(source.size, LOOKED_AT));
  if (source.size < PREFIX) {
    throw new FormatError(
      `${source.name}: ${mistakenFile(start, 'safetensors') ?? 'is too short for a safetensors file'}`,
    );
  }
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER || length > source.size - PREFIX) {
    const broken = `is not a whole safetensors file: its header should take ${length} bytes of ${source.size}`;
    throw new FormatError(`${source.name}: ${mistakenFile(start, 'safetensors') ?? broken}`);
  }
  return { header: parseHeader(await source.read(PREFIX, length), source.name), dataOffset: PREFIX + length };
}

function parseHeader(bytes: Uint8Array, name: string): Record<string, unknown> {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${name}: its safetensors header is not valid UTF-8`, { cause });
  }
  const value = parseJson(text, `${name}: its safetensors header`, FormatError);
  if (isRecord(value)) return value;
  throw new FormatError(`${name}: its safetensors header is not a JSON object`);
}

function parseMetadata(value: unknown, name: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value) || !Object.values(value).every((text) => typeof text === 'string')) {
    throw new FormatError(`${name}: ${METADATA} must map names to strings`);
  }
  return value as Record<string, string>;
}

const offset = z.int().min(0);
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.custom<number>()), // checked with their product
  data_offsets: z.tuple([offset, offset]),
});

function parseEntry(value: unknown, where: string): Entry {
  const { data } = entrySchema.safeParse(value);
  if (!data) throw new FormatError(`${where}: needs dtype, shape and data_offsets; the header is damaged`);
  const { dtype: code, shape } = data;
  const dtype = dtypes.get(code);
  if (!dtype)
    throw new FormatError(
      `${where}: dtype ${printable(code)} is not supported; use ${[...dtypes.keys()].join(', ')}`,
    );
  const expected = checkedElementCount(shape, where) * bytesPerElement(dtype);
  const [begin, end] = data.data_offsets;
  if (end - begin !== expected) {
    throw new FormatError(
      `${where}: [${shape}] of ${code} takes ${expected} bytes but is given ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

/** The format wants every data byte to belong to exactly one tensor, so that nothing can hide or be read twice. */
function checkCoverage(entries: ReadonlyMap<string, Entry>, dataSize: number, source: string): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const [name, { begin, end }] of inOrder) {
    if (begin !== position) {
      throw new FormatError(
        `${source}/${printable(name)}: starts at ${begin}, not at ${position}: tensors overlap or leave gaps`,
      );
    }
    position = end;
  }
  if (position !== dataSize) {
    throw new FormatError(`${source}: its tensors take ${position} bytes but ${dataSize} follow the header`);
  }
}

/** Tensors as the bytes of a safetensors file. */
export function encodeSafetensors(
  tensors: Iterable<Named<Tensor>>,
  metadata: Metadata = {},
): Uint8Array<ArrayBuffer> {
  const ordered = inFileOrder(tensors);
  const parts = ordered.map(([, value]) => tensorBytes(value));
  return joinArrays('uint8', [encodeHeader(ordered, metadata), ...parts]) as Uint8Array<ArrayBuffer>;
}

/** Tensors in the order they are written: larger element types first, which keeps all of them aligned. */
export function inFileOrder<T extends TensorInfo>(tensors: Iterable<Named<T>>): Named<T>[] {
  const ordered = [...tensors];
  const names = new Set<string>();
  for (const [name] of ordered) {
    if (names.has(name) || name === METADATA)
      throw new FormatError(`safetensors: cannot name two tensors '${printable(name)}'`);
    names.add(name);
  }
  return ordered.sort(([, a], [, b]) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype));
}

/** Bytes a tensor takes in the file. */
export function byteCount({ dtype, shape }: TensorInfo): number {
  return elementCount(shape) * bytesPerElement(dtype);
}

/** Where the bytes of each tensor begin, in the file that is written of tensors in this order. */
export function fileOffsets(tensors: readonly Named<TensorInfo>[], metadata: Metadata): Map<string, number> {
  let position = encodeHeader(tensors, metadata).length;
  const offsets = new Map<string, number>();
  for (const [name, info] of tensors) {
    offsets.set(name, position);
    position += byteCount(info);
  }
  return offsets;
}

/** Everything before the first tensor of a safetensors file. */
export function encodeHeader(tensors: readonly Named<TensorInfo>[], metadata: Metadata): Uint8Array {
  let position = 0;
  const described = tensors.map(([name, info]) => {
    const begin = position;
    position += byteCount(info);
    return [name, { dtype: codes[info.dtype], shape: info.shape, data_offsets: [begin, position] }] as const;
  });
  const head = Object.keys(metadata).length > 0 ? [[METADATA, metadata] as const] : [];
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([...head, ...described])));
  const length = Math.ceil(json.length / 8) * 8;
  const out = new Uint8Array(8 + length).fill(0x20); // spaces after the JSON keep the data aligned
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(json, 8);
  return out;
}
