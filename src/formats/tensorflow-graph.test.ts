import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { encodeGraph } from '../../test/support/formula-inception.ts';
import { FormatError } from '../errors.ts';
import { bytesSource } from '../io/byte-source.ts';
import { float32 } from '../tensor/tensor.ts';
import { openTensorflowGraph } from './tensorflow-graph.ts';

const open = (bytes: Uint8Array) => openTensorflowGraph(bytesSource(bytes, 'graph.pb'));
const matrix = float32([2, 3], [1, 2, 3, 4, 5, 6]);

describe('openTensorflowGraph', () => {
  it('reads constants of float32, and passes over all other nodes', async () => {
    const graph = await open(
      encodeGraph([
        { name: 'input', operator: 'Placeholder' },
        { name: 'layer/params', value: matrix },
        { name: 'layer/conv', operator: 'Conv2D' },
        { name: 'scalar', value: float32([], [7]) },
      ]),
    );
    expect(graph.names).toEqual(['layer/params', 'scalar']);
    expect(graph.info('layer/params')).toEqual({ dtype: 'float32', shape: [2, 3] });
    expect(await graph.read('layer/params')).toEqual(matrix);
    expect(await graph.read('scalar')).toEqual(float32([], [7]));
    await expect(graph.read('input')).rejects.toThrow("graph.pb: holds no constant 'input'");
    await graph.close();
  });

  it('reads single values, the last standing for the rest', async () => {
    const graph = await open(
      encodeGraph([
        { name: 'all', value: matrix, singly: true },
        {
          name: 'filled',
          value: { dtype: 'float32', shape: [2, 2], data: Float32Array.of(3) },
          singly: true,
        },
      ]),
    );
    expect(await graph.read('all')).toEqual(matrix);
    expect(await graph.read('filled')).toEqual(float32([2, 2], [3, 3, 3, 3]));
  });

  const whole = encodeGraph([{ name: 'weights', value: matrix }]);
  const wrongSize = { ...matrix, shape: [2, 4] };
  it.each([
    ['is empty', new Uint8Array(), 'is empty'],
    ['is cut off', whole.subarray(0, whole.length - 5), 'is damaged'],
    [
      'is something else',
      new TextEncoder().encode('hello, I am no graph at all'),
      'not a frozen TensorFlow graph',
    ],
    ['has a wrong size', encodeGraph([{ name: 'w', value: wrongSize }]), "'w' of shape [2,4] has 24 bytes"],
    ['has no weights', encodeGraph([{ name: 'x', operator: 'Placeholder' }]), 'holds no constants'],
    ['is a web page', new TextEncoder().encode('<!doctype html><html>'), 'is a web page'],
  ])('refuses a file that %s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(message);
  });
});

/** A message of fields by number: a number is a varint, a text or bytes are a message. */
function message(
  ...fields: readonly (readonly [field: number, value: number | string | Uint8Array])[]
): Uint8Array {
  const writer = new BinaryWriter();
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.tag(field, WireType.Varint).int64(value);
    else {
      const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
      writer.tag(field, WireType.LengthDelimited).bytes(bytes);
    }
  }
  return writer.finish();
}

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const dims = (...sizes: number[]): Uint8Array =>
  message(...sizes.map((size) => [2, message([2, 'a name'], [1, size])] as const));
/** A graph of one node whose attribute `value` is a tensor of these fields. */
const graphOf = (tensor: Uint8Array, { operator = 'Const', key = 'value' } = {}): Uint8Array =>
  message([1, message([1, 'w'], [2, operator], [5, message([1, key], [2, message([6, 1], [8, tensor])])])]);

// Field numbers are those of TensorFlow's graph.proto, node_def.proto, attr_value.proto and tensor.proto.
describe('a graph of messages', () => {
  it.each<[string, Uint8Array, ReturnType<typeof float32>]>([
    ['content', message([1, 1], [2, dims(2)], [4, floats(5, 6)]), float32([2], [5, 6])],
    ['packed values', message([1, 1], [2, dims(2)], [5, floats(5, 6)]), float32([2], [5, 6])],
    ['no elements', message([1, 1], [2, dims(2, 0)]), float32([2, 0], [])],
    [
      'a dimension without a size',
      message([1, 1], [2, message([2, message([2, 'name'])])]),
      float32([0], []),
    ],
    ['no shape', message([1, 1], [4, floats(5)]), float32([], [5])],
    [
      'a shape with more fields',
      message([1, 1], [2, message([3, 0], [2, message([1, 1])])], [4, floats(5)]),
      float32([1], [5]),
    ],
    ['fields that are not known', message([1, 1], [3, 9], [99, 'x'], [4, floats(5)]), float32([], [5])],
  ])('has a constant of %s', async (_, tensor, value) => {
    const graph = await open(graphOf(tensor));
    expect(await graph.read('w')).toEqual(value);
    expect([graph.has('w'), graph.has('v')]).toEqual([true, false]);
  });

  it('may give single values unpacked, among other fields of fixed size', async () => {
    const writer = new BinaryWriter();
    writer.tag(1, WireType.Varint).int64(1);
    writer.tag(5, WireType.Bit32).float(3);
    writer.tag(6, WireType.Bit64).double(4);
    expect(await (await open(graphOf(writer.finish()))).read('w')).toEqual(float32([], [3]));
  });

  it('has nodes alone, not what else a graph has', async () => {
    const node = graphOf(message([1, 1], [4, floats(5)]));
    const other = message([2, 'the library, which is not a node'], [4, 'versions']);
    expect((await open(Buffer.concat([other, node]))).names).toEqual(['w']);
  });

  const constant = message([1, 1], [4, floats(5)]);
  it.each<[string, Uint8Array, string]>([
    [
      'no constants, but another operator',
      graphOf(constant, { operator: 'Identity' }),
      'it holds no constants of float32',
    ],
    [
      'no constants, but another attribute',
      graphOf(constant, { key: 'dtype' }),
      'it holds no constants of float32',
    ],
    [
      'constants of another type',
      graphOf(message([1, 3], [4, floats(5)])),
      'it holds no constants of float32',
    ],
    ['constants without a type', graphOf(message([4, floats(5)])), 'it holds no constants of float32'],
    [
      'an attribute without a tensor',
      message([1, message([2, 'Const'], [5, message([1, 'value'], [2, message([6, 1])])])]),
      'it holds no constants',
    ],
    [
      'an attribute without a value',
      message([1, message([2, 'Const'], [5, message([1, 'value'])])]),
      'it holds no constants',
    ],
    [
      'an attribute without a name',
      message([1, message([2, 'Const'], [5, message([2, message([8, constant])])])]),
      'it holds no constants',
    ],
    [
      'a constant without values',
      graphOf(message([1, 1], [2, dims(2)])),
      "constant 'w' of shape [2] has 0 bytes",
    ],
    [
      'a constant of too many values',
      graphOf(message([1, 1], [2, dims(2)], [5, floats(1, 2, 3)])),
      "'w' of shape [2] has 0 bytes",
    ],
    [
      'values and not enough content',
      graphOf(message([1, 1], [2, dims(2)], [4, floats(1)], [5, floats(2)])),
      "'w' of shape [2] has 4 bytes",
    ],
    [
      'a value repeated too often',
      graphOf(message([1, 1], [2, dims(2 ** 24 + 1)], [5, floats(1)])),
      "'w' repeats a value 16777217 times",
    ],
    ['a number as a node', message([1, 5]), 'a message is a number'],
    ['a message as a type', graphOf(message([1, 'x'])), 'a number is a message'],
  ])('is refused with %s', async (_, bytes, problem) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(problem);
  });

  it('may repeat a value 16 million times', async () => {
    const graph = await open(graphOf(message([1, 1], [2, dims(2 ** 24)], [5, floats(1)])));
    expect(graph.info('w').shape).toEqual([2 ** 24]);
  });

  it('is closed with its source', async () => {
    const counting = countingSource(bytesSource(graphOf(constant)));
    const graph = await openTensorflowGraph(counting.source);
    await graph.close();
    expect(counting.closed).toBe(true);
    expect(graph.has('w')).toBe(false);
  });
});
