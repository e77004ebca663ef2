import { describe, expect, it } from 'vitest';
import { evaluate, randomTensor } from '../../test/support/evaluate.ts';
import { at } from '../at.ts';
import { graphOf } from './onnx.ts';
import { add, linear, multiply, scale } from './operators/index.ts';
import { cutAt } from './partition.ts';
import { input, inputName } from './symbolic.ts';

const x = input('x', [2, 3]);
const weights = [0, 1].map((i) => input(`w${i}`, [3, 3]));
const late = [0, 1].map((i) => input(`late${i}`, [2, 3]));
const feeds = Object.fromEntries(
  [x, ...weights].map((symbol, i) => [inputName(symbol), randomTensor(symbol.shape.map(Number), i + 1)]),
);

/** Products, between which something else makes `late0` of `first`, and `late1` of `second`. */
function graph() {
  const twice = scale(x, 2);
  const first = linear(x, at(weights, 0));
  const y = add(linear(multiply(x, x), at(weights, 1)), at(late, 0));
  const second = linear(y, at(weights, 1));
  return graphOf({ first, second, result: add(add(y, at(late, 1)), twice) });
}

const namesOf = (symbols: Parameters<typeof inputName>[0][]): string[] => symbols.map(inputName).sort();

describe('a graph cut at late inputs', () => {
  const parts = cutAt(graph(), late, 'y');

  it('has each output in the first part that can compute it', () => {
    expect(parts.map(({ outputs }) => Object.keys(outputs))).toEqual([
      ['y.0', 'first'],
      ['y.1', 'second'],
      ['result'],
    ]);
  });

  it('carries what leads to a product, and computes again what does not', () => {
    expect(parts.map(({ inputs }) => namesOf([...inputs]))).toEqual([
      ['w0', 'w1', 'x'],
      ['late0', 'w1', 'y.0'],
      ['late1', 'x', 'y.1'],
    ]);
  });

  it('gives the same when the parts run one after another', async () => {
    const f = (i: number, from: string) => ({ [`late${i}`]: scale(input(from, [2, 3]), i + 3) });
    const tensors = { ...feeds };
    for (const [i, part] of parts.entries()) {
      Object.assign(tensors, await evaluate(part.outputs, tensors));
      if (i < late.length)
        Object.assign(tensors, await evaluate(f(i, i === 0 ? 'first' : 'second'), tensors));
    }
    const { result } = await evaluate(graph().outputs, tensors);
    expect(tensors.result).toEqual(result);
  });
});
