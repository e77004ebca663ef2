import { describe, expect, it } from 'vitest';
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

  it('reads single values, of which the last stands for the rest', async () => {
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
      'no frozen TensorFlow graph',
    ],
    ['has a wrong size', encodeGraph([{ name: 'w', value: wrongSize }]), "'w' of shape [2,4] has 24 bytes"],
    ['has no weights', encodeGraph([{ name: 'x', operator: 'Placeholder' }]), 'holds no constants'],
    ['is a web page', new TextEncoder().encode('<!doctype html><html>'), 'is a web page'],
  ])('refuses a file that %s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(message);
  });
});
