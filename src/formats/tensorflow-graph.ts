/**
 * @file Frozen TensorFlow graphs (GraphDef), of which only the constants of float32 are read: the weights. Field numbers
 * are those of graph.proto, node_def.proto, attr_value.proto and tensor.proto.
 */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';
import { LOOKED_AT, mistakenFile } from '../io/wrong-file-kind.ts';
import { arrayFromBytes, elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import { checkedElementCount } from './elements.ts';
import { archiveOf, type TensorArchive, type TensorInfo } from './tensor-archive.ts';

/** A message of protocol buffers may not be larger. */
const MAX_GRAPH = 2 ** 31 - 1;
const DT_FLOAT = 1;
/** Max elements of a constant whose last value stands for the rest, so that it can be far larger than its file. */
export const MAX_REPEATED = 2 ** 24;

/** A constant, whose values lie in the file's bytes. */
interface Constant extends TensorInfo {
  /** Little-endian, or nothing where there are single values. */
  readonly content: Uint8Array;
  /** If there are fewer than elements, the last stands for the rest. */
  readonly values: readonly number[];
}

/**
 * The constants of a frozen graph as an archive, by the names of their nodes. The file is read into memory; it takes over
 * the source, closing it on failure.
 * @throws {FormatError} if it is not a GraphDef, is damaged, or holds no constants of float32.
 */
export function openTensorflowGraph(source: ByteSource): Promise<TensorArchive> {
  return closingOnError(source, async () => {
    const { name, size } = source;
    const mistaken = mistakenFile(await source.read(0, Math.min(size, LOOKED_AT)), 'tensorflow');
    if (mistaken !== undefined) throw new FormatError(`${name}: ${mistaken}`);
    if (size > MAX_GRAPH) throw new FormatError(`${name}: is not a TensorFlow graph: it has ${size} bytes`);
    const constants = readConstants(await source.read(0, size), name);
    return archiveOf({
      tensors: constants,
      missing: `${name}: holds no constant`,
      read: async (constant) => tensorOf(constant),
      async close() {
        constants.clear();
        await source.close();
      },
    });
  });
}

function readConstants(bytes: Uint8Array, name: string): Map<string, Constant> {
  const constants = new Map<string, Constant>();
  try {
    for (const { field, value } of fieldsOf(bytes)) {
      if (field !== 1) continue;
      const node = readNode(asBytes(value));
      if (node.constant) constants.set(node.name, node.constant);
    }
  } catch (cause) {
    throw new FormatError(
      `${name}: is not a frozen TensorFlow graph, or is damaged (${(cause as Error).message})`,
      { cause },
    );
  }
  if (constants.size > 0) return constants;
  throw new FormatError(`${name}: is not a frozen TensorFlow graph: it holds no constants of float32`);
}

/** A field of a message: a number of 32 or 64 bits, or bytes. */
interface Field {
  readonly field: number;
  readonly value: Uint8Array | bigint;
}

/** The fields of a message, in order; those of fixed size and groups are passed over. */
function* fieldsOf(message: Uint8Array): Generator<Field> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited) yield { field, value: reader.bytes() };
    else if (type === WireType.Varint) yield { field, value: BigInt(reader.int64()) };
    else if (type === WireType.Bit32) yield { field, value: reader.skip(type) };
    else reader.skip(type, field);
  }
}

function asBytes(value: Field['value']): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new Error('a message is a number');
}

function asNumber(value: Field['value']): number {
  if (typeof value === 'bigint') return Number(value);
  throw new Error('a number is a message');
}

const decoder = new TextDecoder();

/** NodeDef: name 1, op 2, attr 5, a map whose entries have a key 1 and a value 2. */
function readNode(message: Uint8Array): { name: string; constant?: Constant | undefined } {
  let [name, operator] = ['', ''];
  let constant: Constant | undefined;
  for (const { field, value } of fieldsOf(message)) {
    if (field === 1) name = decoder.decode(asBytes(value));
    if (field === 2) operator = decoder.decode(asBytes(value));
    if (field === 5) {
      const entry = new Map([...fieldsOf(asBytes(value))].map((part) => [part.field, part.value]));
      const key = entry.get(1);
      const attribute = entry.get(2);
      if (key && attribute && decoder.decode(asBytes(key)) === 'value') {
        constant = readAttribute(asBytes(attribute), name);
      }
    }
  }
  return operator === 'Const' ? { name, constant } : { name };
}

/** AttrValue: tensor 8. */
function readAttribute(message: Uint8Array, name: string): Constant | undefined {
  const tensor = [...fieldsOf(message)].find(({ field }) => field === 8);
  return tensor && readTensor(asBytes(tensor.value), name);
}

/** TensorProto: dtype 1, tensor_shape 2, tensor_content 4, float_val 5. */
function readTensor(message: Uint8Array, name: string): Constant | undefined {
  let type = 0;
  let shape: number[] = [];
  let content: Uint8Array = new Uint8Array();
  const values: number[] = [];
  for (const { field, value } of fieldsOf(message)) {
    if (field === 1) type = asNumber(value);
    if (field === 2) shape = readShape(asBytes(value));
    if (field === 4) content = asBytes(value);
    if (field === 5) for (const element of arrayFromBytes('float32', asBytes(value))) values.push(element);
  }
  if (type !== DT_FLOAT) return undefined;
  const count = checkedElementCount(shape, name);
  if (content.length === 0 && count > Math.max(values.length, MAX_REPEATED)) {
    throw new Error(
      `constant '${printable(name)}' repeats a value ${count} times, and at most ${MAX_REPEATED} are read`,
    );
  }
  const holdsAll = content.length === 4 * count || (content.length === 0 && values.length > 0);
  if (!holdsAll || values.length > Math.max(count, 1)) {
    throw new Error(`constant '${printable(name)}' of shape [${shape}] has ${content.length} bytes`);
  }
  return { dtype: 'float32', shape, content, values };
}

/** TensorShapeProto: dim 2, of which each has its size as 1. */
function readShape(message: Uint8Array): number[] {
  return [...fieldsOf(message)]
    .filter(({ field }) => field === 2)
    .map(({ value }) => {
      const size = [...fieldsOf(asBytes(value))].find(({ field }) => field === 1);
      return size ? asNumber(size.value) : 0;
    });
}

function tensorOf({ shape, content, values }: Constant): Tensor<'float32'> {
  if (content.length > 0) return float32(shape, arrayFromBytes('float32', content));
  const valueAt = (i: number): number => at(values, Math.min(i, values.length - 1));
  return float32(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, i) => valueAt(i)),
  );
}
