import { describe, expect, it } from 'vitest';
import { evaluate, gradientErrors, randomTensor } from '../../../test/support/evaluate.ts';
import { relativeError } from '../../../test/support/golden.ts';
import { backpropagate } from '../../graph/gradient.ts';
import { graphOf } from '../../graph/onnx.ts';
import { gelu } from '../../graph/operators/index.ts';
import { cutAt, differentiate } from '../../graph/partition.ts';
import { constant, input, inputName, type SymbolicTensor, topologicalOrder } from '../../graph/symbolic.ts';
import { tensor } from '../../tensor/tensor.ts';
import { compilePlan, skipCausal } from './attention-plan.ts';
import { type AcditConfig, headSize, validateConfig } from './config.ts';
import { ropeTables, signedTables } from './rope.ts';
import {
  conditions,
  feedForward,
  feedForwardInPieces,
  finalLayer,
  type LayerOptions,
  modulations,
  planAttention,
  transformerLayer,
} from './transformer.ts';
import {
  type EmbedderSymbols,
  type FinalSymbols,
  LAYER_MODULATIONS,
  type LayerSymbols,
  layerWeightShapes,
  parameters,
  rowsOf,
} from './weights.ts';

/** Three heads of 4, 3 blocks of 2 tokens: nothing is a power of two by accident. */
const config: AcditConfig = validateConfig({
  modelType: 'acdit',
  layers: 1,
  hidden: 12,
  heads: 3,
  mlpRatio: 1.5,
  classes: 3,
  space: 'pixels',
  channels: 1,
  frames: 1,
  height: 2,
  width: 3,
  patch: 1,
  blockSize: 2,
  blocks: 3,
  squareBlocks: false,
  positionSplit: [1, 1],
});
const CLEAN = 2;
const GROUPS = CLEAN + config.blocks;
const SAMPLES = 2;

type Feeds = Record<string, ReturnType<typeof randomTensor>>;

const vectors: Feeds = {
  hidden: randomTensor([SAMPLES, GROUPS, config.blockSize, config.hidden], 1),
  modulation: randomTensor([SAMPLES, GROUPS, LAYER_MODULATIONS, config.hidden], 2),
};
const feeds: Feeds = {
  ...vectors,
  ...Object.fromEntries(
    Object.entries(layerWeightShapes(config)).map(([name, shape], i) => {
      const isNorm = name.includes('norm');
      return [name, randomTensor(shape, 10 + i, isNorm ? [0.5, 1.5] : [-0.5, 0.5])];
    }),
  ),
};

function layer(
  { hidden, modulation, ...weights }: Record<string, SymbolicTensor>,
  options: Omit<LayerOptions, 'attend'> = {},
): SymbolicTensor {
  const { firstQuery = 0 } = options;
  const tables = signedTables(ropeTables(config));
  const tokens = GROUPS * config.blockSize;
  const rows = Array.from({ length: tokens }, (_, i) => i % (config.blocks * config.blockSize));
  const sequence = (table: typeof tables.cos): SymbolicTensor =>
    constant({
      ...table,
      shape: [tokens, headSize(config)],
      data: Float32Array.from(rows.flatMap((row) => [...rowsOf(table, row, row + 1).data])),
    });
  const rope = { cos: sequence(tables.cos), sin: sequence(tables.sin) };
  // Tiles of two blocks: some need a mask and some do not.
  const plan = compilePlan(GROUPS, config.blockSize, skipCausal(CLEAN), { tileTokens: 4, firstQuery });
  return transformerLayer(weights as LayerSymbols, hidden, modulation, rope, {
    ...options,
    attend: planAttention(plan),
  });
}

async function expectGradients(
  values: Parameters<typeof gradientErrors>[0],
  build: Parameters<typeof gradientErrors>[1],
): Promise<void> {
  for (const [name, error] of Object.entries(await gradientErrors(values, build))) {
    expect(error, name).toBeLessThan(1e-3);
  }
}

describe('gradients against finite differences', () => {
  it.each([0, CLEAN])('of a layer from block %i on, for every weight', (firstQuery) =>
    expectGradients(feeds, (symbols) => [layer(symbols, { firstQuery })]),
  );

  it('of the conditions and their modulations', () => {
    const names = [...parameters(config)].filter(([name]) => /^[ty]_embedder/.test(name));
    const values = {
      features: randomTensor([4, 256], 3),
      condition: randomTensor([4, 12], 4),
      weight: randomTensor([24, 12], 5),
      bias: randomTensor([24], 6),
      ...Object.fromEntries(
        names.map(([name, shape], i) => [name, randomTensor(shape, 20 + i, [-0.25, 0.25])]),
      ),
    };
    const labels = constant(tensor('int64', [4], BigInt64Array.of(3n, 0n, 3n, 1n)));
    return expectGradients(values, ({ features, condition, weight, bias, ...weights }) => [
      conditions(weights as EmbedderSymbols, features, labels),
      modulations(weight, bias, condition, 2),
    ]);
  });

  it('of the final layer', () => {
    const names = [...parameters(config)].filter(([name]) => /^final_layer\.(norm|linear)/.test(name));
    const values = {
      hidden: randomTensor([2, 3, 2, 12], 1),
      modulation: randomTensor([2, 3, 2, 12], 2),
      ...Object.fromEntries(names.map(([name, shape], i) => [name, randomTensor(shape, 30 + i)])),
    };
    return expectGradients(values, ({ hidden, modulation, ...weights }) => [
      finalLayer(weights as FinalSymbols, hidden, modulation),
    ]);
  });
});

describe('a layer cut into a forward and a backward program', () => {
  const symbols = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape }]) => [name, input(name, shape)]),
  );
  const names = Object.keys(symbols);
  const result = layer(symbols);
  const graph = { inputs: Object.values(symbols), outputs: { result } };
  const seed = randomTensor(result.shape.map(Number), 99);
  const products = ['Gemm', 'MatMul', 'FusedMatMul', 'Softmax'];
  const expensive = (outputs: Readonly<Record<string, SymbolicTensor>>): number =>
    topologicalOrder(Object.values(outputs)).filter(({ operator }) => products.includes(operator)).length;

  it('gives the gradients of the joint graph', async () => {
    const { forward, backward, saved } = differentiate(graph, names);
    expect(saved.length).toBeGreaterThan(0);
    const joint = backpropagate([{ output: result, gradient: constant(seed) }], Object.values(symbols));
    const expected = await evaluate(
      { result, ...Object.fromEntries(names.map((name, i) => [`d.${name}`, joint[i]])) },
      feeds,
    );
    const first = await evaluate(forward.outputs, feeds);
    const second = await evaluate(backward.outputs, { ...feeds, ...first, 'd.result': seed });
    expect(first.result).toEqual(expected.result);
    for (const name of names) {
      expect(relativeError(second[`d.${name}`], expected[`d.${name}`]), name).toBeLessThan(1e-5);
    }
    // The listed inputs are those that are needed, no more and no less.
    const listed = new Set(backward.inputs);
    expect(new Set(graphOf(backward.outputs).inputs)).toEqual(listed);
  });

  it('computes no product twice', () => {
    const joint = backpropagate([{ output: result, gradient: constant(seed) }], Object.values(symbols));
    const all = expensive({ result, ...Object.fromEntries(names.map((name, i) => [name, joint[i]])) });
    const { forward, backward } = differentiate(graph, names);
    expect(expensive(forward.outputs) + expensive(backward.outputs)).toBe(all);
  });

  it('gives only the gradients asked for, and refuses what is not an input', () => {
    const { backward } = differentiate(graph, ['hidden']);
    expect(Object.keys(backward.outputs)).toEqual(['d.hidden']);
    expect(() => differentiate(graph, ['nonsense'])).toThrow(/'nonsense'/);
    expect(() => differentiate({ ...graph, inputs: [result] }, [])).toThrow(/input\(\)/);
  });
});

describe('a layer cut at its activation', () => {
  const symbols = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape }]) => [name, input(name, shape)]),
  );
  const wide: SymbolicTensor[] = [];
  const activated = input('activated', [SAMPLES, GROUPS, config.blockSize, 18]);
  const result = layer(symbols, {
    feedForward: (weights, x) =>
      feedForward(weights, x, (before) => {
        wide.push(before);
        return activated;
      }),
  });
  const graph = graphOf({ wide: wide[0], result });
  const seed = randomTensor(result.shape.map(Number), 99);
  const operators = (outputs: Readonly<Record<string, SymbolicTensor>>): string[] =>
    topologicalOrder(Object.values(outputs)).map(({ operator }) => operator);
  it('gives the same result, and carries what it adds to', async () => {
    const [before, after] = cutAt(graph, [activated]);
    // The modulation is an input: cutting it again costs nothing.
    expect(after.inputs.map(inputName).sort()).toEqual([
      'activated',
      'carry.0',
      'mlp.fc2.bias',
      'mlp.fc2.weight',
      'modulation',
    ]);
    expect(operators(after.outputs)).toEqual(['Split', 'Reshape', 'Gemm', 'Reshape', 'Mul', 'Add']);
    const first = await evaluate(before.outputs, feeds);
    const second = await evaluate(after.outputs, {
      ...feeds,
      ...first,
      ...(await evaluate({ activated: gelu(input('wide', first.wide.shape)) }, first)),
    });
    expect(second.result).toEqual((await evaluate({ result: layer(symbols) }, feeds)).result);
  });

  it('gives the same gradients when its backward graph is cut, too', async () => {
    const { forward, backward } = differentiate(graph, graph.inputs.map(inputName));
    const slope = differentiate(
      graphOf({ activated: gelu(input('wide', wide[0].shape)) }),
      ['wide'],
      'slope',
    );
    const late = backward.inputs.filter((symbol) => inputName(symbol) === 'd.wide');
    const tensors: Feeds = { ...feeds, 'd.result': seed };
    for (const part of [
      cutAt(forward, [activated])[0],
      slope.forward,
      cutAt(forward, [activated])[1],
      cutAt(backward, late)[0],
      slope.backward,
      cutAt(backward, late)[1],
    ]) {
      Object.assign(tensors, await evaluate(part.outputs, tensors));
    }
    const names = graph.inputs.map(inputName).filter((name) => name !== 'activated');
    const joint = backpropagate(
      [{ output: layer(symbols), gradient: constant(seed) }],
      names.map((name) => symbols[name]),
    );
    const expected = await evaluate(
      Object.fromEntries(names.map((name, i) => [`d.${name}`, joint[i]])),
      feeds,
    );
    for (const name of names) {
      expect(relativeError(tensors[`d.${name}`], expected[`d.${name}`]), name).toBeLessThan(1e-5);
    }
  });
});

it('a feed-forward network in pieces gives what it gives at once', async () => {
  const symbols = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape }]) => [name, input(name, shape)]),
  );
  const results = await evaluate(
    { whole: layer(symbols), pieces: layer(symbols, { feedForward: feedForwardInPieces }) },
    feeds,
  );
  expect(relativeError(results.pieces, results.whole)).toBeLessThan(1e-5);
});
