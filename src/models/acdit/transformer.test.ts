import { describe, expect, it } from 'vitest';
import { evaluate, gradientErrors, graphOf, randomTensor } from '../../../test/support/evaluate.ts';
import { relativeError } from '../../../test/support/golden.ts';
import { backpropagate } from '../../graph/gradient.ts';
import { differentiate, type Stage } from '../../graph/partition.ts';
import { constant, input, type SymbolicTensor, topologicalOrder } from '../../graph/symbolic.ts';
import { tensor } from '../../tensor/tensor.ts';
import { compilePlan, skipCausal } from './attention-plan.ts';
import { type AcditConfig, headSize, validateConfig } from './config.ts';
import { ropeTables, signedTables } from './rope.ts';
import { conditions, finalLayer, modulations, planAttention, transformerLayer } from './transformer.ts';
import { LAYER_MODULATIONS, layerWeightShapes, parameters, rowsOf } from './weights.ts';

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

const stream: Feeds = {
  blocks: randomTensor([SAMPLES, GROUPS, config.blockSize, config.hidden], 1),
  modulation: randomTensor([SAMPLES, GROUPS, LAYER_MODULATIONS, config.hidden], 2),
};
const feeds: Feeds = {
  ...stream,
  ...Object.fromEntries(
    [...layerWeightShapes(config)].map(([name, shape], i) => {
      const isNorm = name.includes('norm');
      return [name, randomTensor(shape, 10 + i, isNorm ? [0.5, 1.5] : [-0.5, 0.5])];
    }),
  ),
};

function layer(symbols: Record<string, SymbolicTensor>, firstQuery: number): SymbolicTensor {
  const { blocks, modulation, ...weights } = symbols;
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
  return transformerLayer(config, weights, blocks, modulation, rope, planAttention(plan), firstQuery);
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
    expectGradients(feeds, (symbols) => [layer(symbols, firstQuery)]),
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
      conditions(weights, features, labels),
      modulations(weight, bias, condition, 2),
    ]);
  });

  it('of the final layer', () => {
    const names = [...parameters(config)].filter(([name]) => /^final_layer\.(norm|linear)/.test(name));
    const values = {
      blocks: randomTensor([2, 3, 2, 12], 1),
      modulation: randomTensor([2, 3, 2, 12], 2),
      ...Object.fromEntries(names.map(([name, shape], i) => [name, randomTensor(shape, 30 + i)])),
    };
    return expectGradients(values, ({ blocks, modulation, ...weights }) => [
      finalLayer(weights, blocks, modulation),
    ]);
  });
});

describe('a layer cut into a forward and a backward program', () => {
  const symbols = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape }]) => [name, input(name, shape)]),
  );
  const names = Object.keys(symbols);
  const result = layer(symbols, 0);
  const stage: Stage = { inputs: Object.values(symbols), outputs: { result } };
  const seed = randomTensor(result.shape.map(Number), 99);
  const products = ['Gemm', 'MatMul', 'FusedMatMul', 'Softmax'];
  const expensive = (outputs: Readonly<Record<string, SymbolicTensor>>): number =>
    topologicalOrder(Object.values(outputs)).filter(({ operator }) => products.includes(operator)).length;

  it('gives the gradients of the joint graph', async () => {
    const { forward, backward, saved } = differentiate(stage, names);
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
    const { forward, backward } = differentiate(stage, names);
    expect(expensive(forward.outputs) + expensive(backward.outputs)).toBe(all);
  });

  it('gives only the gradients asked for, and refuses what is no input', () => {
    const { backward } = differentiate(stage, ['blocks']);
    expect(Object.keys(backward.outputs)).toEqual(['d.blocks']);
    expect(() => differentiate(stage, ['nonsense'])).toThrow(/'nonsense'/);
    expect(() => differentiate({ ...stage, inputs: [result] }, [])).toThrow(/input\(\)/);
  });
});
