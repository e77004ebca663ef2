/** The modules of examples/ that a user's own program would take over; test/examples.test.ts runs whole programs. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { silentReporter } from '../src/runs/reporter.ts';
import { trainModel } from '../src/runs/train.ts';
import { openCpu } from '../src/runtime/node.ts';
import { attentionOfModule } from '../src/training/attention-module.ts';
import { readMetrics } from '../src/training/logging/jsonl.ts';
import type { Tracker } from '../src/training/logging/tracker.ts';
import { parseRecipe } from '../src/training/recipe.ts';
import { startMlflow } from './support/mlflow-server.ts';
import { tinyRun } from './support/tiny-run.ts';

const EXAMPLES = join(import.meta.dirname, '../examples');

interface Mlflow {
  mlflowTracker(options: object): Promise<{ tracker: Tracker; finish(status?: string): Promise<unknown> }>;
}

describe("the example mlflow's tracker", () => {
  async function setUp() {
    const { mlflowTracker }: Mlflow = await import(pathToFileURL(join(EXAMPLES, 'mlflow/mlflow.js')).href);
    const { folder } = tinyRun({
      training: { accumulate: 1, batch: 2 },
      output: { sampleEvery: 4, sampleSteps: 1 },
    });
    const recipe = parseRecipe(JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')));
    const server = await startMlflow();
    const run = recipe.output.folder;
    const open = () =>
      mlflowTracker({ url: `${server.url}/`, experiment: 'acdit & co', folder: run, recipe, pause: 1 });
    const device = openCpu({ threads: 1 });
    const train = async (tracker: Tracker, stopAfter?: number, onStep?: (step: number) => void) => {
      const controller = new AbortController();
      const emit = (event: { kind: string; step?: number }) => {
        if (event.kind !== 'step') return;
        onStep?.(event.step!);
        if (event.step === stopAfter) controller.abort();
      };
      const report = { ...silentReporter, emit } as typeof silentReporter;
      await trainModel({ recipe, device, report, trackers: [tracker], signal: controller.signal });
    };
    const close = async () => {
      await device.dispose();
      await server.close();
    };
    return { server, run, open, train, close };
  }

  /** Expects that the server has every number of the log, and no others. */
  function expectWholeLog({ logged, metrics }: Awaited<ReturnType<typeof startMlflow>>, run: string) {
    const lines = readMetrics(join(run, 'metrics.jsonl')).flatMap(({ step, time: _, ...record }) =>
      Object.entries(record).map(([key, value]) => ({ key, step, value })),
    );
    expect(lines.length).toBeGreaterThan(8);
    expect(logged).toHaveLength(lines.length);
    for (const { key, step, value } of lines) expect(metrics(key).get(step), key).toBe(value);
  }

  it('sends all numbers, images and the recipe, and resumes the run', async () => {
    const { server, run, open, train, close } = await setUp();
    const first = await open();
    await train(first.tracker, 2);
    await first.finish('KILLED');
    expect([server.state.experiment, server.status()]).toEqual(['acdit & co', 'KILLED']);
    const second = await open();
    expect(server.status()).toBe('RUNNING');
    await train(second.tracker);
    await second.finish();
    expect([server.state.runs, server.status()]).toEqual([1, 'FINISHED']);
    expect([...server.metrics('loss').keys()]).toEqual([1, 2, 3, 4]);
    expectWholeLog(server, run);
    expect(server.parameters.get('training.clip')).toBe('0.5');
    expect(server.parameters.get('model.positionSplit')).toBe('[1,1]');
    expect([...server.artifacts]).toEqual([
      ['7/run-1/artifacts/samples/step-00000004.png', readFileSync(join(run, 'samples/step-00000004.png'))],
    ]);
    await close();
  });

  it('loses nothing while the server is unavailable, and says so once', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const { server, run, open, train, close } = await setUp();
    const log = await open();
    server.state.isDown = true;
    await train(log.tracker);
    expect(server.logged).toEqual([]);
    expect(error.mock.calls).toEqual([
      [expect.stringMatching(/^MLflow at .* refused .* with status 503.*; training continues/)],
    ]);
    await expect(log.finish()).rejects.toThrow('with status 503');
    server.state.isDown = false;
    await log.finish();
    expectWholeLog(server, run);
    await close();
    await expect(open()).rejects.toThrow(/does not answer \(ECONNREFUSED\)/);
    error.mockRestore();
  });
});

it("the example custom-attention's predicate attends blocks at distances that are powers of two", async () => {
  const rows = ['100000', '110000', '111000', '011100', '101110', '010111'];
  const attention = await attentionOfModule(join(EXAMPLES, 'custom-attention/powers.js'), 6);
  expect(attention).toEqual({ noised: rows, clean: rows });
});
