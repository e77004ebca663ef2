import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError, ShapeError } from '../../errors.ts';
import { openNpz } from '../../formats/npz.ts';
import { openFile } from '../../io/file-source.ts';
import { Generator } from '../../tensor/generator.ts';
import { addNoise, createNoiseSchedule, linearNoiseSchedule, noiseLevel } from '../noise-schedule.ts';
import { createSolver, type Solver, type SolverName, solverNames } from './index.ts';

const openFixture = async (path: string) =>
  openNpz(await openFile(fileURLToPath(new URL(`../../../test/fixtures/${path}`, import.meta.url))));

/** Outputs of diffusers 0.31 from `x0`, with the network tanh(x @ A) + t/1000 * x. */
const golden = await openFixture('golden/schedulers.npz');
/**
 * The same start and network, by diffusers' DDPM and DDIM formulas (clip_sample off, eta 0.5) written out in
 * torch 1.13, the noise drawn by torch.randn after torch.manual_seed(1).
 */
const stochastic = await openFixture('diffusion/stochastic-solvers.npz');

const schedule = linearNoiseSchedule();
const start = (await golden.read('x0')).data as Float32Array;
const matrix = (await golden.read('A')).data as Float32Array; // (4, 4)

function network(x: Float32Array, timestep: number): Float32Array {
  return x.map((value, i) => {
    const row = i - (i % 4);
    let sum = 0;
    for (let k = 0; k < 4; k++) sum += x[row + k] * matrix[4 * k + (i % 4)];
    return Math.tanh(sum) + (timestep / 1000) * value;
  });
}

type Network = (x: Float32Array, timestep: number) => Float32Array;

function solve(solver: Solver, x: Float32Array, predict: Network, generator?: Generator): Float32Array {
  let state = solver.initialState();
  solver.timesteps.forEach((timestep, index) => {
    ({ x, state } = solver.step(index, x, predict(x, timestep), state, generator));
  });
  return x;
}

/** Largest difference, as a share of the reference's largest value. */
function relativeError(actual: Float32Array, reference: ArrayLike<number>): number {
  expect(actual.length).toBe(reference.length);
  const values = Array.from(reference);
  const largest = Math.max(...values.map(Math.abs));
  return Math.max(...values.map((value, i) => Math.abs(actual[i] - value))) / largest;
}

const floats = async (npz: typeof golden, name: string) => (await npz.read(name)).data as Float32Array;

describe('golden numbers', () => {
  const dpmSteps = [1, 2, 5, 10, 14, 15, 20, 25, 50, 100, 250, 1000];

  it.each(dpmSteps)(
    'dpm-solver-plus-plus-2m visits the timesteps of diffusers in %i steps',
    async (steps) => {
      const reference = Array.from((await golden.read(`dpm.${steps}.timesteps`)).data, Number);
      expect(createSolver('dpm-solver-plus-plus-2m', schedule, steps).timesteps).toEqual(reference);
    },
  );

  it.each(dpmSteps.slice(0, -1))('dpm-solver-plus-plus-2m in %i steps', async (steps) => {
    const solver = createSolver('dpm-solver-plus-plus-2m', schedule, steps);
    const reference = await floats(golden, `dpm.${steps}.out`);
    expect(relativeError(solve(solver, start, network), reference)).toBeLessThan(1e-5);
  });

  it('dpm-solver-plus-plus-2m is finite in 1000 steps, where diffusers divides by zero', async () => {
    expect((await floats(golden, 'dpm.1000.out')).every(Number.isNaN)).toBe(true);
    const out = solve(createSolver('dpm-solver-plus-plus-2m', schedule, 1000), start, network);
    expect(relativeError(out, await floats(golden, 'dpm.250.out'))).toBeLessThan(1e-3);
  });

  it.each([10, 25, 50])('ddim in %i steps', async (steps) => {
    const solver = createSolver('ddim', schedule, steps);
    expect(solver.timesteps).toEqual(Array.from((await golden.read(`ddim.${steps}.timesteps`)).data, Number));
    const reference = await floats(golden, `ddim.${steps}.out`);
    expect(relativeError(solve(solver, start, network), reference)).toBeLessThan(1e-5);
  });

  it.each([1, 10, 60, 250, 1000])('ddpm and ddim with eta in %i steps', async (steps) => {
    for (const solver of [
      createSolver('ddpm', schedule, steps),
      createSolver('ddim', schedule, steps, { eta: 0.5 }),
    ]) {
      const out = solve(solver, start, network, new Generator(1));
      const reference = await floats(stochastic, `${solver.name}.${steps}.out`);
      expect(relativeError(out, reference)).toBeLessThan(1e-5);
    }
  });
});

const everySolver: { name: SolverName; eta: number }[] = [
  ...solverNames.map((name) => ({ name, eta: 0 })),
  { name: 'ddim', eta: 1 },
];

describe.each(everySolver)('$name, eta $eta', ({ name, eta }) => {
  const path = createNoiseSchedule(name === 'euler' ? 'flow' : 'linear');
  const create = (steps: number | number[]) => createSolver(name, path, steps, { eta });

  /** The noise, or its velocity, that x really holds, given the clean sample. */
  const exactNoise =
    (clean: Float32Array): Network =>
    (x, timestep) => {
      const { signal, noise } = noiseLevel(path, timestep);
      const factor = name === 'euler' ? 1 : signal;
      return x.map((value, i) => (value - factor * clean[i]) / noise);
    };

  it('recovers the clean sample from its exact noise, in any number of steps', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1000 })), fc.nat(), (steps, seed) => {
        const solver = create(steps);
        const generator = new Generator(seed);
        const clean = generator.randn(8);
        const x = addNoise(path, clean, generator.randn(8), solver.timesteps[0]);
        const out = solve(solver, x, exactNoise(clean), generator);
        expect(relativeError(out, clean)).toBeLessThan(1e-4);
      }),
      { numRuns: 40 },
    );
  });

  it('recovers it at any timesteps too', () => {
    const lists = fc.uniqueArray(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(lists, fc.nat(), (list, seed) => {
        const timesteps = list.sort((a, b) => b - a);
        const solver = create(timesteps);
        expect(solver.timesteps).toEqual(timesteps);
        const generator = new Generator(seed);
        const clean = generator.randn(8);
        const x = addNoise(path, clean, generator.randn(8), timesteps[0]);
        const out = solve(solver, x, exactNoise(clean), generator);
        expect(relativeError(out, clean)).toBeLessThan(1e-4);
      }),
      { numRuns: 40 },
    );
  });

  it('gives the same bits at its own timesteps, listed', () => {
    for (const steps of [1, 2, 7, 25]) {
      const own = create(steps);
      const listed = create([...own.timesteps]);
      const run = (solver: Solver) => solve(solver, start, network, new Generator(steps));
      expect(run(listed)).toEqual(run(own));
    }
  });

  it.each([10, [999, 998, 700, 200, 150, 3]])('keeps to the noise level of every timestep: %j', (steps) => {
    const solver = create(steps);
    const generator = new Generator(3);
    const clean = new Float32Array(20_000).fill(2);
    let x = addNoise(path, clean, generator.randn(clean.length), solver.timesteps[0]);
    let state = solver.initialState();
    for (const index of solver.timesteps.keys()) {
      const epsilon = exactNoise(clean)(x, solver.timesteps[index]);
      ({ x, state } = solver.step(index, x, epsilon, state, generator));
      const next = solver.timesteps[index + 1];
      const level = next === undefined ? { signal: 1, noise: 0 } : noiseLevel(path, next);
      const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
      const deviation = Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length);
      expect(Math.abs(mean - 2 * level.signal)).toBeLessThan(0.03);
      expect(Math.abs(deviation - level.noise)).toBeLessThan(0.02);
    }
  });

  it('visits as many falling timesteps as asked, within the schedule', () => {
    for (let steps = 1; steps < 1000; steps++) {
      const { timesteps } = create(steps);
      expect(timesteps.length).toBe(steps);
      expect(timesteps.every((t, i) => Number.isInteger(t) && (i === 0 || t < timesteps[i - 1]))).toBe(true);
      expect(timesteps[0] <= 999 && timesteps[steps - 1] >= 0).toBe(true);
    }
  });

  it('changes neither its inputs nor its state in place', () => {
    const solver = create(3);
    const x = new Generator(1).randn(4);
    const epsilon = new Generator(2).randn(4);
    const first = solver.step(0, x, epsilon, solver.initialState(), new Generator(3));
    const kept = structuredClone(first);
    const second = () => solver.step(1, first.x, epsilon, first.state, new Generator(4));
    expect(second()).toEqual(second());
    expect(first).toEqual(kept);
    expect([x, epsilon]).toEqual([new Generator(1).randn(4), new Generator(2).randn(4)]);
  });

  it.each([[[]], [[500, 500]], [[20, 30]], [[1000]], [[-1]], [[0.5]]])('refuses the timesteps %j', (list) => {
    expect(() => create(list)).toThrow(ArgumentError);
    expect(() => create(list)).toThrow(`${name}: timesteps must `);
  });

  it.each([0, -1, 1.5, 1001, Number.NaN])('refuses %s steps', (steps) => {
    expect(() => create(steps)).toThrow(ArgumentError);
  });

  it('refuses a step that does not exist and lengths that differ', () => {
    const solver = create(5);
    const values = new Float32Array(2);
    for (const index of [-1, 5, 0.5]) {
      expect(() => solver.step(index, values, values, {}, new Generator(1))).toThrow(ArgumentError);
    }
    expect(() => solver.step(0, values, new Float32Array(3), {}, new Generator(1))).toThrow(ShapeError);
  });

  it('needs a generator exactly where it draws noise', () => {
    const solver = create(5);
    const values = new Float32Array(2);
    expect(solver.stochastic).toBe(name === 'ddpm' || eta > 0);
    const step = () => solver.step(0, values, values, solver.initialState());
    if (solver.stochastic) expect(step).toThrow('pass a Generator');
    else expect(step).not.toThrow();
  });

  it('adds no noise in the last step, whose sample is clean', () => {
    const solver = create(5);
    const values = new Generator(1).randn(20);
    const last = (seed: number) =>
      solver.step(4, values, values, solver.initialState(), new Generator(seed)).x;
    expect(last(2)).toEqual(last(3));
    if (name !== 'ddpm') return;
    const generator = new Generator(2);
    solver.step(4, values, values, solver.initialState(), generator);
    expect(generator.state()).toEqual(new Generator(2).state());
  });
});

describe('createSolver', () => {
  it('names the solvers it knows when given another', () => {
    const unknown = 'heun' as SolverName;
    expect(() => createSolver(unknown, schedule, 5)).toThrow(
      /'heun': use dpm-solver-plus-plus-2m, ddim, ddpm, euler/,
    );
  });

  it('refuses an eta out of range', () => {
    expect(() => createSolver('ddim', schedule, 5, { eta: 1.5 })).toThrow(ArgumentError);
    expect(() => createSolver('ddim', schedule, 5, { eta: -0.1 })).toThrow(ArgumentError);
    expect(() => createSolver('ddim', schedule, 5, { eta: Number.NaN })).toThrow(ArgumentError);
  });

  it('restarts the second order with each initial state', () => {
    const solver = createSolver('dpm-solver-plus-plus-2m', schedule, 4);
    expect(solve(solver, start, network)).toEqual(solve(solver, start, network));
  });
});
