/**
 * @file ONNX bytes of a graph. Field numbers are those of onnx.proto (IR version 10); only the messages a
 * graph of ours needs are written.
 */

import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ShapeError } from '../errors.ts';
import { type DType, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import {
  type Attribute,
  inputName,
  type Node,
  type SymbolicTensor,
  showShape,
  topologicalOrder,
} from './symbolic.ts';

/** What a program takes and gives. */
export interface Graph {
  readonly inputs: readonly SymbolicTensor[];
  readonly outputs: Readonly<Record<string, SymbolicTensor>>;
}

/** The graph of some outputs: its inputs are those that they depend on. */
export function graphOf(outputs: Readonly<Record<string, SymbolicTensor>>): Graph {
  const symbols = Object.values(outputs);
  const used = new Set([...symbols, ...topologicalOrder(symbols).flatMap((node) => node.inputs)]);
  return { inputs: [...used].filter(({ source }) => source.kind === 'input'), outputs };
}

const IR_VERSION = 10;
const OPSETS: Readonly<Record<string, number>> = { '': 21, 'com.microsoft': 1 };
const ELEMENT_TYPES: Readonly<Record<string, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};
const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, ints: 7 } as const;

type Message = (writer: BinaryWriter) => void;

function nested(writer: BinaryWriter, field: number, write: Message): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}

function writeAttribute(writer: BinaryWriter, name: string, value: Attribute): void {
  text(writer, 1, name);
  if (typeof value === 'string') {
    text(writer, 4, value);
    integer(writer, 20, ATTRIBUTE_TYPES.string);
  } else if (typeof value === 'number') {
    integer(writer, 3, value);
    integer(writer, 20, ATTRIBUTE_TYPES.int);
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float);
    integer(writer, 20, ATTRIBUTE_TYPES.float);
  } else {
    for (const item of value) integer(writer, 8, item);
    integer(writer, 20, ATTRIBUTE_TYPES.ints);
  }
}

function writeNode(writer: BinaryWriter, node: Node, nameOf: (symbol: SymbolicTensor) => string): void {
  for (const symbol of node.inputs) text(writer, 1, nameOf(symbol));
  for (const symbol of node.outputs) text(writer, 2, nameOf(symbol));
  text(writer, 4, node.operator);
  for (const [name, value] of Object.entries(node.attributes)) {
    nested(writer, 5, (attribute) => writeAttribute(attribute, name, value));
  }
  if (node.domain) text(writer, 7, node.domain);
}

/** @throws {ShapeError} if graphs do not hold values of the type. */
function elementType(dtype: string): number {
  const type = ELEMENT_TYPES[dtype];
  if (type === undefined) throw new ShapeError(`a graph cannot hold ${dtype}; convert it first`);
  return type;
}

function writeValueInfo(writer: BinaryWriter, name: string, { dtype, shape }: SymbolicTensor): void {
  text(writer, 1, name);
  if (dtype === 'sequence') {
    const element: Message = (type) => nested(type, 1, (info) => integer(info, 1, elementType('float32')));
    nested(writer, 2, (type) => nested(type, 4, (sequence) => nested(sequence, 1, element)));
    return;
  }
  nested(writer, 2, (type) =>
    nested(type, 1, (tensorType) => {
      integer(tensorType, 1, elementType(dtype));
      nested(tensorType, 2, (shapeMessage) => {
        for (const dim of shape) {
          nested(shapeMessage, 1, (dimension) => {
            if (typeof dim === 'number') integer(dimension, 1, dim);
            else text(dimension, 2, dim);
          });
        }
      });
    }),
  );
}

/** Names for every symbol of a graph: inputs keep theirs, outputs get the caller's, the rest a number. */
function assignNames(graph: Graph, nodes: readonly Node[]): Map<SymbolicTensor, string> {
  const names = new Map<SymbolicTensor, string>();
  const taken = new Set(Object.keys(graph.outputs));
  for (const symbol of graph.inputs) {
    const name = inputName(symbol);
    if (taken.has(name)) {
      const both = Object.hasOwn(graph.outputs, name) ? 'both an input and an output' : 'two inputs';
      throw new ShapeError(`graph: '${name}' names ${both}; rename one`);
    }
    taken.add(name);
    names.set(symbol, name);
  }
  for (const [name, symbol] of Object.entries(graph.outputs)) {
    if (symbol.source.kind === 'node' && !names.has(symbol)) names.set(symbol, name);
  }
  let number = 0;
  const used = nodes.flatMap((node) => [...node.inputs, ...node.outputs]);
  for (const symbol of [...used, ...Object.values(graph.outputs)]) {
    if (names.has(symbol)) continue;
    if (symbol.source.kind === 'input') {
      throw new ShapeError(
        `graph: '${symbol.source.name}' ${showShape(symbol.shape)} is used but not listed among the inputs`,
      );
    }
    while (taken.has(`_${number}`)) number++;
    names.set(symbol, `_${number++}`);
  }
  return names;
}

/** A tensor that is a range of bytes of a file next to the program's own. */
export interface FileTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The file's path, relative to the program's folder. */
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** Values for some of a graph's inputs, by name. */
export type Bound = Readonly<Record<string, Tensor | FileTensor>>;

/**
 * Serialise a graph as an ONNX ModelProto. Nodes that no output needs are left out.
 * @param bound become part of the program. Large ones are only named, as external data whose location is the input's
 * name, so that weights need not be copied into the message: see `isExternal`. So are those in a file, where they
 * are.
 */
export function encodeOnnx(graph: Graph, bound: Bound = {}): Uint8Array<ArrayBuffer> {
  const nodes = topologicalOrder(Object.values(graph.outputs));
  const names = assignNames(graph, nodes);
  const isBound = (symbol: SymbolicTensor): boolean => Object.hasOwn(bound, names.get(symbol)!);
  const initializers = [...names].flatMap(([symbol, name]): Message[] => {
    const { source } = symbol;
    if (source.kind === 'constant') return [(writer) => writeTensor(writer, name, source.value)];
    if (source.kind !== 'input' || !isBound(symbol)) return [];
    const value = bound[name];
    if (!value) return [];
    if ('file' in value || isExternal(value)) return [(writer) => writeExternalTensor(writer, name, value)];
    return [(writer) => writeTensor(writer, name, value)];
  });
  const inputs = graph.inputs.filter((symbol) => !isBound(symbol));
  const writer = new BinaryWriter();
  integer(writer, 1, IR_VERSION);
  nested(writer, 7, (message) =>
    writeGraph(message, { ...graph, inputs }, nodes, initializers, (symbol) => names.get(symbol)!),
  );
  for (const [domain, version] of Object.entries(OPSETS)) {
    nested(writer, 8, (opset) => {
      if (domain) text(opset, 1, domain);
      integer(opset, 2, version);
    });
  }
  return writer.finish();
}

/** Bytes from which on a bound tensor is external data. */
const EXTERNAL_BYTES = 65536;

/** Whether {@link encodeOnnx} leaves a bound tensor's data out of the message. */
export function isExternal(value: Tensor): boolean {
  return value.data.byteLength >= EXTERNAL_BYTES;
}

function writeGraph(
  writer: BinaryWriter,
  graph: Graph,
  nodes: readonly Node[],
  initializers: readonly Message[],
  nameOf: (symbol: SymbolicTensor) => string,
): void {
  for (const node of nodes) nested(writer, 1, (message) => writeNode(message, node, nameOf));
  // An output whose name is not a node's own (an input passed through, or named twice) needs a copy.
  for (const [name, symbol] of Object.entries(graph.outputs)) {
    if (nameOf(symbol) === name) continue;
    nested(writer, 1, (message) => {
      text(message, 1, nameOf(symbol));
      text(message, 2, name);
      text(message, 4, 'Identity');
    });
  }
  text(writer, 2, 'acdit');
  for (const write of initializers) nested(writer, 5, write);
  for (const symbol of graph.inputs) {
    nested(writer, 11, (message) => writeValueInfo(message, nameOf(symbol), symbol));
  }
  for (const [name, symbol] of Object.entries(graph.outputs)) {
    nested(writer, 12, (message) => writeValueInfo(message, name, symbol));
  }
}

const EXTERNAL_LOCATION = 1;

function writeTensorInfo(writer: BinaryWriter, name: string, value: Tensor | FileTensor): void {
  for (const dim of value.shape) integer(writer, 1, dim);
  integer(writer, 2, elementType(value.dtype));
  text(writer, 8, name);
}

function writeTensor(writer: BinaryWriter, name: string, value: Tensor): void {
  writeTensorInfo(writer, name, value);
  writer.tag(9, WireType.LengthDelimited).bytes(tensorBytes(value));
}

/** A tensor whose data is elsewhere: in a file, or given next to the program under its own name. */
function writeExternalTensor(writer: BinaryWriter, name: string, value: Tensor | FileTensor): void {
  writeTensorInfo(writer, name, value);
  const [location, offset, length] =
    'file' in value ? [value.file, value.offset, value.length] : [name, 0, value.data.byteLength];
  for (const [key, entry] of Object.entries({ location, offset, length })) {
    nested(writer, 13, (message) => {
      text(message, 1, key);
      text(message, 2, String(entry));
    });
  }
  integer(writer, 14, EXTERNAL_LOCATION);
}
