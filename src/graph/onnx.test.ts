import { describe, expect, it } from 'vitest';
import { openCpu } from '../runtime/node.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { encodeOnnx, type Graph } from './onnx.ts';
import { add, concat, scale, split, transpose } from './operators/index.ts';
import { constant, input } from './symbolic.ts';

const x = input('x', [2]);
const values = float32([2], [1, 2]);

async function run(graph: Graph, feeds: Record<string, Tensor>): Promise<Record<string, number[]>> {
  const device = openCpu({ threads: 1 });
  const program = await device.compile(graph);
  expect([...program.outputNames].sort()).toEqual(Object.keys(graph.outputs).sort());
  const results = await program.run(feeds);
  await device.dispose();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Array.from<number | bigint>(data).map(Number)]),
  );
}

describe('a graph as ONNX', () => {
  it('keeps inputs that nothing uses', async () => {
    const unused = input('unused', [3]);
    const graph = { inputs: [x, unused], outputs: { y: scale(x, 2) } };
    expect(await run(graph, { x: values, unused: float32([3], [0, 0, 0]) })).toEqual({ y: [2, 4] });
  });

  it('gives inputs, constants and one symbol under several names as outputs', async () => {
    const twice = scale(x, 2);
    const whole = constant(tensor('int64', [2], BigInt64Array.of(7n, -8n)));
    const outputs = { copy: x, sameCopy: x, fixed: constant(float32([1], [5])), whole, a: twice, b: twice };
    expect(await run({ inputs: [x], outputs }, { x: values })).toEqual({
      copy: [1, 2],
      sameCopy: [1, 2],
      fixed: [5],
      whole: [7, -8],
      a: [2, 4],
      b: [2, 4],
    });
  });

  it('returns an output that other nodes use, and some outputs of a node', async () => {
    const z = input('z', [3]);
    const [, second] = split(z, 0, [1, 2]);
    const middle = add(x, second);
    const graph = { inputs: [x, z], outputs: { middle, end: scale(middle, 10) } };
    const results = await run(graph, { x: values, z: float32([3], [0, 1, 1]) });
    expect(results).toEqual({ middle: [2, 3], end: [20, 30] });
  });

  it('numbers what has no name around names that look like numbers', async () => {
    const [first, second] = [input('_0', [2]), input('_2', [2])];
    const outputs = { _1: scale(concat([first, second], 0), 2), _3: scale(add(first, second), 3) };
    expect(await run({ inputs: [first, second], outputs }, { _0: values, _2: values })).toEqual({
      _1: [2, 4, 2, 4],
      _3: [6, 12],
    });
  });

  it('handles a chain that a recursive walk could not', () => {
    let deep = x;
    for (let i = 0; i < 50_000; i++) deep = transpose(deep, [0]);
    expect(encodeOnnx({ inputs: [x], outputs: { deep } }).length).toBeGreaterThan(1e6);
  });

  it.each<[string, Graph, RegExp]>([
    ['an input and an output', { inputs: [x], outputs: { x: scale(x, 2) } }, /'x' names both/],
    ['two inputs', { inputs: [x, input('x', [3])], outputs: { y: x } }, /'x' names two inputs/],
    ['one input twice', { inputs: [x, x], outputs: { y: x } }, /'x' names two inputs/],
    ['an input that is not listed', { inputs: [], outputs: { y: scale(x, 2) } }, /'x' \[2\] is used but/],
    ['a computed input', { inputs: [scale(x, 2)], outputs: { y: x } }, /must be made by input/],
  ])('refuses %s', (_, graph, message) => {
    expect(() => encodeOnnx(graph)).toThrow(message);
  });
});
