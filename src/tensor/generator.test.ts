import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { openFile } from '../io/file-source.ts';
import { Generator } from './generator.ts';

const fixture = fileURLToPath(new URL('../../test/fixtures/golden/torch-cpu-rng.npz', import.meta.url));
const golden = await openNpz(await openFile(fixture));
const seeds = [0n, 42n, 123456789012n];
const randnSizes = [1, 5, 15, 16, 17, 100, 4099];

async function expected(name: string): Promise<number[]> {
  return Array.from((await golden.read(name)).data, Number);
}

function maxDifference(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  expect(actual.length).toBe(reference.length);
  return Math.max(...Array.from(actual, (value, i) => Math.abs(value - reference[i])));
}

describe.each(seeds)('Generator(%s) against torch.manual_seed', (seed) => {
  it.each(randnSizes)('randn(%i)', async (n) => {
    expect(maxDifference(new Generator(seed).randn(n), await expected(`randn.${seed}.${n}`))).toBeLessThan(
      1e-6,
    );
  });

  it('several randn in a row, with the cached value of a short one', async () => {
    const generator = new Generator(seed);
    const values = [7, 20, 1024].flatMap((n) => [...generator.randn(n)]);
    expect(maxDifference(values, await expected(`randn_twice.${seed}`))).toBeLessThan(1e-6);
  });

  it('rand, randint and randperm exactly', async () => {
    expect([...new Generator(seed).rand(20)]).toEqual(await expected(`rand.${seed}.20`));
    expect(new Generator(seed).randint(0, 1000, 20)).toEqual(await expected(`randint1000.${seed}.20`));
    expect([...new Generator(seed).randperm(50)]).toEqual(await expected(`randperm.${seed}.50`));
  });
});

describe('Generator', () => {
  it('mixes calls as PyTorch does', () => {
    // torch 1.13: manual_seed(7); randn(3), rand(2), randint(-5, 2**40, (4,)), randn(2), randperm(9),
    // randint(0, 2**32, (3,)), randint(0, 2**32 - 1, (3,))
    const generator = new Generator(7);
    expect(maxDifference(generator.randn(3), [-0.14679509, 0.78614128, 0.94682163])).toBeLessThan(1e-6);
    expect(Array.from(generator.rand(2))).toEqual([0.36531615257263184, 0.8512683510780334]);
    expect(Array.from(generator.randint(-5, 2 ** 40, 4))).toEqual([
      610973500353, 309568168494, 474241548400, 936348686705,
    ]);
    expect(maxDifference(generator.randn(2), [-1.114344, 0.02120138])).toBeLessThan(1e-6);
    expect(Array.from(generator.randperm(9))).toEqual([5, 8, 0, 2, 7, 1, 6, 4, 3]);
    expect(Array.from(generator.randint(0, 2 ** 32, 3))).toEqual([2980842940, 1485942463, 3992293176]);
    expect(Array.from(generator.randint(0, 2 ** 32 - 1, 3))).toEqual([3999499416, 1127788727, 106941365]);
  });

  it('takes seeds of 64 bits and wraps negative ones', () => {
    // torch.manual_seed(2**64 - 1); torch.rand(3)
    const reference = [0.9937993884086609, 0.5713063478469849, 0.5700080394744873];
    expect(maxDifference(new Generator(2n ** 64n - 1n).rand(3), reference)).toBe(0);
    expect(maxDifference(new Generator(-1).rand(3), reference)).toBe(0);
  });

  it.each([0.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])('refuses the seed %s', (seed) => {
    expect(() => new Generator(seed)).toThrow(ArgumentError);
    expect(() => Generator.seeded(seed, 1)).toThrow('seed must be an integer');
    expect(() => Generator.seeded(1, seed)).toThrow('key 1');
  });

  it('continues bit for bit from a state written as JSON', () => {
    const counts = fc.array(fc.nat(700), { maxLength: 4 });
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), counts, fc.nat(20), (seed, before, after) => {
        const generator = new Generator(seed);
        for (const count of before) generator.randn(count % 2 ? count : count % 16);
        const resumed = Generator.fromState(JSON.parse(JSON.stringify(generator.state())));
        expect(resumed.state()).toEqual(generator.state());
        expect(resumed.randn(after)).toEqual(generator.randn(after));
        expect(resumed.randperm(700)).toEqual(generator.randperm(700));
      }),
      { numRuns: 30 },
    );
  });

  it('refuses damaged states', () => {
    const state = new Generator(1).state();
    const extreme = { words: state.words.with(5, 0).with(6, 2 ** 32 - 1), position: 0, nextNormal: null };
    expect(Generator.fromState(extreme).state()).toEqual(extreme);
    for (const damage of [
      { words: state.words.slice(1) },
      { words: state.words.with(5, -1) },
      { words: state.words.with(5, 2 ** 32) },
      { words: undefined as unknown as number[] },
      { position: 625 },
      { position: -1 },
      { position: 0.5 },
      { nextNormal: Number.NaN },
    ]) {
      expect(() => Generator.fromState({ ...state, ...damage })).toThrow(ArgumentError);
    }
  });

  it.each([
    // numpy.random.RandomState([seed low, seed high, key low, ...])._bit_generator.random_raw(3)
    { seed: 5, keys: [], raw: [2349986032, 3982511458, 449177072] },
    { seed: 5, keys: [0], raw: [3404408978, 1544954039, 915527384] },
    { seed: 5, keys: [1], raw: [3701557927, 1276533204, 1206992622] },
    { seed: 0x12deadbeef, keys: [3, -1], raw: [342593545, 899095232, 1371855254] },
  ])('seeded($seed, $keys) is the stream of numpy', ({ seed, keys, raw }) => {
    expect(Generator.seeded(seed, ...keys).randint(0, 2 ** 32 - 1, 3)).toEqual(raw);
  });

  it('draws integers within their range and permutations that hold every index once', () => {
    const low = fc.integer({ min: -(2 ** 51), max: 2 ** 51 });
    const range = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 ** 52 - 1 }));
    fc.assert(
      fc.property(low, range, fc.integer({ min: 0, max: 200 }), (start, size, n) => {
        const generator = new Generator(n);
        const values = generator.randint(start, start + size, 20);
        expect(values.every((v) => Number.isInteger(v) && v >= start && v < start + size)).toBe(true);
        expect(generator.randperm(n).sort()).toEqual(Int32Array.from({ length: n }, (_, i) => i));
      }),
    );
  });

  it('refuses counts and bounds out of range', () => {
    const generator = new Generator(1);
    for (const draw of [
      () => generator.rand(-1),
      () => generator.randn(1.5),
      () => generator.randperm(2 ** 31),
      () => generator.randint(3, 3, 1),
      () => generator.randint(0, 2 ** 53, 1),
      () => generator.randint(0, 1.5, 1),
    ]) {
      expect(draw).toThrow(ArgumentError);
    }
  });

  it('draws nothing for a count of 0', () => {
    const generator = new Generator(1);
    const before = generator.state();
    expect([generator.rand(0), generator.randn(0), generator.randperm(0)].map((a) => a.length)).toEqual([
      0, 0, 0,
    ]);
    expect(generator.state()).toEqual(before);
  });

  it('has the moments of a normal distribution', () => {
    const values = new Generator(9).randn(100_000);
    const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(variance - 1)).toBeLessThan(0.02);
  });
});
