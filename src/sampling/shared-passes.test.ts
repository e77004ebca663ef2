import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { float32 } from '../tensor/tensor.ts';
import type { KeyValueCache } from './cache.ts';
import {
  type Condition,
  type ModulationTable,
  modulationSize,
  rememberModulations,
} from './modulation-table.ts';
import { type PassInfo, PassQueue, sharedRows } from './noise-predictor.ts';
import type { PassEngine, Sequence } from './pass-engine.ts';

const config = tinyConfig();

describe('the rows that share a pass', () => {
  const cpu = { separateMemory: false } as Device;
  const paper: AcditConfig = { ...config, hidden: 1152, mlpRatio: 4, blockSize: 256 };

  it.each([
    // Bytes per token of a row: 4 x hidden x (6 + 4 x mlpRatio).
    ['64 of a small model', config, 64],
    ['as many as take 256 MB, of a large one', paper, 9],
    ['one at least', { ...paper, blockSize: 65536 }, 1],
  ])('are %s', (_, model, rows) => {
    expect(sharedRows(cpu, model)).toBe(rows);
  });

  it('are one on a device with its own memory', () => {
    expect(sharedRows({ separateMemory: true } as Device, config)).toBe(1);
  });
});

/** An engine whose passes are recorded; the predicted noise and the extended cache name the latents they came from. */
function recordingEngine({ mayShare = true } = {}) {
  const passes: string[][] = [];
  const checks: (() => void)[] = [];
  const failures: Error[] = [];
  const nameOf = ({ latents }: Sequence) => `${latents.data[0]}`;
  const engine: Pick<PassEngine, 'mayShare' | 'run'> = {
    mayShare: async () => mayShare,
    async run(sequences, mayStop) {
      checks.push(mayStop);
      passes.push(sequences.map((one) => `${nameOf(one)}${one.noised ? '' : ' joins'}`));
      await new Promise((resolve) => setImmediate(resolve));
      const failure = failures.shift();
      if (failure) throw failure;
      mayStop();
      return sequences.map((one) => ({
        noise: one.latents,
        cache: { blocks: Number(nameOf(one)) } as KeyValueCache,
      }));
    },
  };
  const queueOf = (rows: number, onPass?: (pass: PassInfo) => void) =>
    new PassQueue(engine as PassEngine, rows, onPass);
  return { queueOf, passes, checks, failures };
}

const nothing = { table: {} as ModulationTable, cache: {} as KeyValueCache };

/** A block in progress of one sample in as many branches as there are rows, named by its first value. */
async function denoise(queue: PassQueue, name: number, rows: number, signal?: AbortSignal): Promise<number> {
  const conditions = Array.from({ length: rows }, (): Condition => ({ timestep: name, label: 0 }));
  const { table, cache } = nothing;
  const latents = float32([1, 1, 1], [name]);
  const { noise } = await queue.run({ latents, cache, noised: { conditions, table } }, signal);
  return noise.data[0] ?? Number.NaN;
}

async function append(
  queue: PassQueue,
  name: number,
  samples: number,
  signal?: AbortSignal,
): Promise<number> {
  const latents = float32([samples, 1, 1], Array<number>(samples).fill(name));
  return (await queue.run({ latents, cache: nothing.cache }, signal)).cache.blocks;
}

describe('passes', () => {
  it('take all calls that wait, and give each its own result', async () => {
    const { queueOf, passes } = recordingEngine();
    const infos: PassInfo[] = [];
    const shared = queueOf(16, (info) => infos.push(info));
    const calls = [denoise(shared, 1, 2), append(shared, 2, 3), denoise(shared, 3, 1), append(shared, 4, 1)];
    expect(await Promise.all(calls)).toEqual([1, 2, 3, 4]);
    expect(passes).toEqual([['1', '2 joins', '3', '4 joins']]);
    expect(infos).toEqual([{ sequences: 4, groups: 7, denoised: 3, seconds: expect.any(Number) }]);
    expect(infos[0]?.seconds).toBeGreaterThanOrEqual(0);
    expect(infos[0]?.seconds).toBeLessThan(60);
  });

  it('take calls in turn, up to their number of rows; a larger call goes alone', async () => {
    const { queueOf, passes } = recordingEngine();
    const shared = queueOf(4);
    const rows = [2, 2, 1, 9, 3, 1, 1];
    await Promise.all(rows.map((count, name) => denoise(shared, name, count)));
    expect(passes).toEqual([['0', '1'], ['2'], ['3'], ['4', '5'], ['6']]);
  });

  it('take calls one by one where a shared pass would round differently', async () => {
    const { queueOf, passes } = recordingEngine({ mayShare: false });
    const shared = queueOf(16);
    expect(await Promise.all([1, 2, 3].map((name) => denoise(shared, name, 1)))).toEqual([1, 2, 3]);
    expect(passes).toEqual([['1'], ['2'], ['3']]);
  });

  it('take calls that come while a pass runs, after it', async () => {
    const { queueOf, passes } = recordingEngine();
    const shared = queueOf(16);
    const first = denoise(shared, 1, 1);
    while (passes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([first, denoise(shared, 2, 1), denoise(shared, 3, 1)]);
    await denoise(shared, 4, 1);
    expect(passes).toEqual([['1'], ['2', '3'], ['4']]);
  });

  it('leave out a call that is aborted while it waits', async () => {
    const { queueOf, passes } = recordingEngine();
    const shared = queueOf(16);
    const controller = new AbortController();
    const reason = new Error('nobody waits');
    const aborted = denoise(shared, 1, 1, controller.signal);
    const abortedToo = append(shared, 2, 1, controller.signal);
    const other = denoise(shared, 3, 1);
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await expect(abortedToo).rejects.toBe(reason);
    expect(await other).toBe(3);
    expect(passes).toEqual([['3']]);
  });

  it('stop once nobody waits for their results', async () => {
    const { queueOf, passes, checks } = recordingEngine();
    const shared = queueOf(16);
    const controllers = [new AbortController(), new AbortController()];
    const calls = controllers.map(({ signal }, name) => denoise(shared, name, 1, signal));
    while (passes.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const settled = Promise.allSettled(calls);
    controllers[0]?.abort('the first left');
    expect(checks[0]).not.toThrow();
    controllers[1]?.abort('the second left');
    expect(checks[0]).toThrow('the first left');
    expect(await settled).toEqual([
      { status: 'rejected', reason: 'the first left' },
      { status: 'rejected', reason: 'the second left' },
    ]);
  });

  it('that fail reject all their calls, and others continue', async () => {
    const { queueOf, failures } = recordingEngine();
    const shared = queueOf(2);
    const failure = new Error('out of memory');
    failures.push(failure);
    const calls = [1, 2, 3].map((name) => denoise(shared, name, 1));
    expect(await Promise.allSettled(calls)).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
      { status: 'fulfilled', value: 3 },
    ]);
  });
});

describe('remembered modulations', () => {
  const bytes = 4 * modulationSize(config);
  const conditionOf = (timestep: number): Condition => ({ timestep, label: 1 });

  /** Remembers up to `capacity` bytes; `computed` lists the timesteps that were computed. */
  function remembering(capacity: number) {
    const computed: number[] = [];
    const values = new Float32Array(4);
    const remembered = rememberModulations(
      config,
      async (conditions) => {
        computed.push(...conditions.map(({ timestep }) => timestep));
        return { has: () => true, row: (layer, { timestep }) => values.fill(100 * timestep + layer) };
      },
      capacity,
    );
    return { computed, ask: (...timesteps: number[]) => remembered(timesteps.map(conditionOf)) };
  }

  it('are the rows of every layer and the final one, for the conditions that were asked for', async () => {
    const { ask } = remembering(1e6);
    await ask(1, 2);
    const table = await ask(2, 3);
    expect([1, 2, 3].map((timestep) => table.has(conditionOf(timestep)))).toEqual([false, true, true]);
    for (const timestep of [2, 3]) {
      for (let layer = 0; layer <= config.layers; layer++) {
        expect(table.row(layer, conditionOf(timestep))[0]).toBe(100 * timestep + layer);
      }
    }
  });

  it('are computed once each', async () => {
    const { ask, computed } = remembering(1e6);
    await ask(1, 2, 1);
    await ask(2, 3, 1);
    await ask(1, 2, 3);
    expect(computed).toEqual([1, 2, 3]);
  });

  it('are as many as fit; those asked for longest ago are forgotten', async () => {
    const { ask, computed } = remembering(3 * bytes);
    await ask(1);
    await ask(2);
    await ask(3);
    await ask(1);
    await ask(4); // 2 is forgotten
    await ask(1, 3, 4);
    expect(computed).toEqual([1, 2, 3, 4]);
    await ask(2);
    expect(computed).toEqual([1, 2, 3, 4, 2]);
  });

  it('fit only whole, but one is always kept', async () => {
    const { ask, computed } = remembering(2 * bytes - 1);
    await ask(1);
    await ask(2);
    await ask(2);
    await ask(1);
    expect(computed).toEqual([1, 2, 1]);
    const small = remembering(0);
    await small.ask(1);
    await small.ask(1);
    expect(small.computed).toEqual([1]);
  });
});
