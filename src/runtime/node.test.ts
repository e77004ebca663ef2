import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { DeviceError } from '../errors.ts';
import { add, gatherRows, matmul, scale } from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import { float32, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import type { Feeds } from './device.ts';
import { openAccelerator, openCpu } from './node.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const x = input('x', [2, 'columns']);
const y = input('y', [2, 'columns']);
const graph = { inputs: [x, y], outputs: { sum: add(x, y), double: scale(x, 2) } };
const ones = float32([2, 3], Array(6).fill(1));
const program = await device.compile(graph);

describe('running a program', () => {
  it('takes any size for an unknown dim', async () => {
    for (const columns of [1, 3]) {
      const value = float32([2, columns], Array(2 * columns).fill(1));
      const { sum } = await program.run({ x: value, y: value });
      expect(sum).toEqual(float32([2, columns], Array(2 * columns).fill(2)));
    }
  });

  it('fills the outputs that it is given in place, and makes the others', async () => {
    const sum = zeros('float32', [2, 3]);
    const results = await program.run({ x: ones, y: ones }, { sum });
    expect(results.sum).toBe(sum);
    expect(sum.data).toEqual(new Float32Array(6).fill(2));
    expect(results.double.data).toEqual(new Float32Array(6).fill(2));
    const kept = results.double.data.slice();
    await program.run({ x: float32([2, 3], [1, 2, 3, 4, 5, 6]), y: ones }, { sum });
    expect(sum.data).toEqual(Float32Array.of(2, 3, 4, 5, 6, 7));
    expect(results.double.data).toEqual(kept);
  });

  it('reads and fills views into a larger array', async () => {
    const memory = new Float32Array(18).fill(9);
    const view = (from: number): Tensor<'float32'> => float32([2, 3], memory.subarray(from, from + 6));
    memory.fill(1, 0, 6);
    await program.run({ x: view(0), y: view(0) }, { sum: view(6) });
    expect(memory).toEqual(Float32Array.from([1, 2, 9].flatMap((value) => Array(6).fill(value))));
  });

  const bad: [string, Feeds, Feeds, RegExp][] = [
    ['a missing feed', { x: ones }, {}, /'y' \[2, columns\] was not given/],
    ['an unknown feed', { x: ones, y: ones, z: ones }, {}, /no input 'z'/],
    ['a wrong dim', { x: zeros('float32', [3, 3]), y: ones }, {}, /'x'.*\[2, columns\], got \[3, 3\]/],
    ['a wrong rank', { x: zeros('float32', [2]), y: ones }, {}, /'x'.*got \[2\]/],
    ['dims of one name that differ', { x: zeros('float32', [2, 4]), y: ones }, {}, /run a program/],
    ['a wrong dtype', { x: ones, y: zeros('int64', [2, 3]) }, {}, /int64/],
    ['too little data', { x: ones, y: { ...ones, data: new Float32Array(5) } }, {}, /run a program/],
    ['an unknown output', { x: ones, y: ones }, { z: zeros('float32', [2, 3]) }, /no output 'z'/],
    ['an output of a wrong shape', { x: ones, y: ones }, { sum: zeros('float32', [2, 2]) }, /shape/],
  ];
  it.each(bad)('refuses %s', async (_, feeds, into, message) => {
    const running = program.run(feeds, into);
    await expect(running).rejects.toThrow(DeviceError);
    await expect(running).rejects.toThrow(message);
    expect((await program.run({ x: ones, y: ones })).sum.data[0]).toBe(2);
  });

  it('reports what fails inside ONNX Runtime', async () => {
    const [table, index] = [input('table', [2, 3]), input('index', [1], 'int64')];
    const rows = await device.compile({ inputs: [table, index], outputs: { row: gatherRows(table, index) } });
    const running = rows.run({ table: ones, index: tensor('int64', [1], BigInt64Array.of(5n)) });
    await expect(running).rejects.toThrow(DeviceError);
  });
});

describe('binding', () => {
  // One small tensor that is part of the message, and one large enough to be data next to it.
  it.each([3, 200])('makes %i x 200 values part of the program', async (rows) => {
    const [a, weight] = [input('a', [1, rows]), input('weight', [rows, 200])];
    const bound = float32(
      [rows, 200],
      Float32Array.from({ length: rows * 200 }, (_, i) => i % 7),
    );
    const product = { inputs: [a, weight], outputs: { b: matmul(a, weight), weightBack: weight } };
    const bounded = await device.compile(product, { weight: bound });
    const free = await device.compile(product);
    const feed = float32([1, rows], Array(rows).fill(0.5));
    const expected = await free.run({ a: feed, weight: { ...bound, data: bound.data.slice() } });
    bound.data.fill(Number.NaN); // the device has a copy of its own
    expect(bounded.inputNames).toEqual(['a']);
    expect(await bounded.run({ a: feed })).toEqual(expected);
    await expect(bounded.run({ a: feed, weight: bound })).rejects.toThrow(/no input 'weight'/);
  });

  it.each<[string, Feeds, RegExp]>([
    ['an unknown input', { z: ones }, /no input 'z'/],
    ['a wrong shape', { x: zeros('float32', [4, 3]) }, /'x'.*\[2, columns\], got \[4, 3\]/],
  ])('refuses %s', async (_, bound, message) => {
    await expect(device.compile(graph, bound)).rejects.toThrow(message);
  });
});

describe('disposing', () => {
  it('of a program or its device ends its use, and may be repeated', async () => {
    const other = openCpu({ threads: 1 });
    const [first, second] = [await other.compile(graph), await other.compile(graph)];
    await first.dispose();
    await first.dispose();
    await expect(first.run({ x: ones, y: ones })).rejects.toThrow(DeviceError);
    expect((await second.run({ x: ones, y: ones })).sum.data[0]).toBe(2);
    await other.dispose();
    await other.dispose();
    await expect(second.run({ x: ones, y: ones })).rejects.toThrow(/disposed/);
  });
});

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('CUDA', () => {
  const VARIABLE = 'NVIDIA_TF32_OVERRIDE';
  /** The libraries have their setting by then, with or without a GPU. */
  const open = (): Promise<unknown> =>
    openAccelerator('cuda').then(
      (cuda) => cuda.dispose(),
      () => {},
    );

  afterEach(() => vi.unstubAllEnvs());

  it('multiplies in full precision', async () => {
    vi.stubEnv(VARIABLE, undefined);
    await open();
    expect(process.env[VARIABLE]).toBe('0');
  });

  it('keeps what the user has chosen', async () => {
    vi.stubEnv(VARIABLE, '1');
    await open();
    expect(process.env[VARIABLE]).toBe('1');
  });
});
