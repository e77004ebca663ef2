import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectBadInput, runInProcess } from '../../test/support/cli.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyRun } from '../../test/support/tiny-run.ts';
import { parseConfig } from '../checkpoints/config-json.ts';
import { runCli } from '../cli/run.ts';
import { lockFolder } from '../io/lock.ts';
import { readMetrics } from '../training/logging/jsonl.ts';
import { modelNeeds } from './model-needs.ts';
import { readStudy } from './study-file.ts';
import { csvTable, markdownTable, studyGroups } from './study-results.ts';

/** Writes a study of trainings that take moments. */
function tinyStudy(changes: object = {}) {
  const { folder } = tinyRun({ training: { batch: 2, accumulate: 1, steps: 3 } });
  const path = join(folder, 'study.json');
  const recipe = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'));
  recipe.model = { layers: 1, hidden: 16, heads: 2, patch: 2, blocks: 4 };
  writeFileSync(join(folder, 'recipe.json'), JSON.stringify(recipe));
  const study = {
    title: 'Tiny | study',
    folder: join(folder, 'study'),
    base: 'recipe.json',
    axes: [
      { key: 'model.blocks', name: 'blocks', values: [1, 4] },
      { name: 'loss', values: { plain: {}, debiased: { 'training.lossWeighting': 'debiased' } } },
    ],
    seeds: [1, 2],
    metrics: ['loss', { name: 'gradientNorm', label: 'norm', logarithmic: true }, 'operations'],
    ...changes,
  };
  writeFileSync(path, JSON.stringify(study));
  const inStudy = (name: string): string => join(study.folder, name);
  const read = (name: string): string => readFileSync(inStudy(name), 'utf8');
  return { folder, path, inStudy, read, args: ['study', path, '--threads', '1'] };
}

describe('acdit study', () => {
  it('runs every combination with every seed, and reports means and deviations', async () => {
    const { args, inStudy, read } = tinyStudy();
    const { code, stdout, stderr } = await runInProcess(args);
    expect([code, stdout], stderr).toEqual([0, `${inStudy('results.md')}\n`]);
    const { groups } = JSON.parse(read('results.json'));
    expect(groups.map(({ labels }: { labels: string[] }) => labels)).toEqual([
      ['1', 'plain'],
      ['1', 'debiased'],
      ['4', 'plain'],
      ['4', 'debiased'],
    ]);
    for (const { labels, runs, summary } of groups) {
      const losses = runs.map(({ seed }: { seed: number }) => {
        const run = `blocks-${labels[0]}_loss-${labels[1]}_seed-${seed}`;
        return readMetrics(inStudy(`${run}/metrics.jsonl`)).at(-1)!.loss!; // the last tenth of 3 steps
      });
      expect(runs.map(({ values }: { values: { loss: number } }) => values.loss)).toEqual(losses);
      const mean = (losses[0] + losses[1]) / 2;
      expect(summary.loss.mean).toBeCloseTo(mean, 12);
      expect(summary.loss.deviation).toBeCloseTo(Math.abs(losses[0] - losses[1]) / Math.SQRT2, 12);
    }
    const lines = read('results.csv').trim().split('\r\n');
    expect(lines).toHaveLength(9);
    expect(lines[0]).toBe('blocks,loss,seed,loss,gradientNorm,operations,failed');
    expect(read('results.md')).toMatch(/^# Tiny \| study\n/);
    expect(read('results.md')).toContain('| blocks | loss | runs | loss | norm | operations |');
    expect(read('results.md').match(/ ± /g)).not.toBeNull();
    expect(read('loss.svg').match(/<circle/g)).toHaveLength(4 + 2); // points, and the legend's
    expect(read('loss.svg').match(/<polyline/g)).toHaveLength(2);
  });

  it('resumes with the results of a study that was never stopped, and runs new combinations only', async () => {
    const whole = tinyStudy({ axes: [{ key: 'model.blocks', values: [1, 4] }], seeds: [1] });
    expect((await runInProcess(whole.args)).code).toBe(0);
    const stopped = tinyStudy({ axes: [{ key: 'model.blocks', values: [1, 4] }], seeds: [1] });
    const controller = new AbortController();
    const stdout = { write: (text: string) => text.includes('"step":2,') && controller.abort() };
    const stderr = { write() {} };
    const { signal } = controller;
    expect(await runCli([...stopped.args, '--json'], { stdout, stderr, signal } as never)).toBe(130);
    expect(JSON.parse(stopped.read('results.json')).groups).toEqual([]);
    expect((await runInProcess(stopped.args)).code).toBe(0);
    expect(stopped.read('results.csv')).toBe(whole.read('results.csv'));
    const before = stopped.read('blocks-1_seed-1/run.json');
    const more = JSON.parse(readFileSync(stopped.path, 'utf8'));
    writeFileSync(stopped.path, JSON.stringify({ ...more, seeds: [1, 3] }));
    const { stdout: events } = await runInProcess([...stopped.args, '--json']);
    const started = events.split('\n').filter((line) => line.startsWith('{"kind":"run"'));
    expect(started.map((line) => JSON.parse(line).name)).toEqual(['blocks-1_seed-3', 'blocks-4_seed-3']);
    expect(stopped.read('blocks-1_seed-1/run.json')).toBe(before);
    const recipe = JSON.parse(readFileSync(join(stopped.folder, 'recipe.json'), 'utf8'));
    recipe.training.steps = 4;
    writeFileSync(join(stopped.folder, 'recipe.json'), JSON.stringify(recipe));
    expectBadInput(
      await runInProcess(stopped.args),
      'the run blocks-1_seed-1 has ended with different settings of training; restore them',
    );
  });

  it('ends a run whose loss is no longer a number, and continues with the others', async () => {
    const rates = {
      name: 'rate',
      values: { usual: {}, huge: { 'training.learningRate': 1e30, 'training.clip': 1e30 } },
    };
    const { args, read } = tinyStudy({ axes: [rates], seeds: [1] });
    const { code, stderr } = await runInProcess(args);
    expect(code, stderr).toBe(0);
    expect(read('results.csv').trim().split('\r\n')[2]).toMatch(/^huge,1,,,[\d.]+,.*step \d: the loss is/);
    expect(read('results.md')).toContain('| huge | 1, 1 failed | – | – |');
  });

  it('trains each model for the same operations, and measures its samples', async () => {
    const { args, folder, path, read } = tinyStudy();
    const recipe = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'));
    delete recipe.training.steps;
    const axes = [{ key: 'model.blocks', values: [1, 16] }];
    const sampling = { samples: 2, steps: 2, repeats: 1 };
    const metrics = ['steps', 'operations', 'sampling/operations', 'sampling/seconds'];
    const study = JSON.parse(readFileSync(path, 'utf8'));
    const settings = { base: recipe, axes, sampling, metrics, seeds: [0], operations: 2e7 };
    writeFileSync(path, JSON.stringify({ ...study, ...settings }));
    expect((await runInProcess(args)).code).toBe(0);
    const [one, sixteen] = JSON.parse(read('results.json')).groups.map(
      ({ runs }: { runs: { values: Record<string, number> }[] }) => runs[0]!.values,
    );
    expect(one.steps).toBeGreaterThan(sixteen.steps);
    for (const { operations, steps } of [one, sixteen]) {
      expect(Math.abs(operations - 2e7)).toBeLessThanOrEqual((0.5 * operations) / steps + 1);
    }
    expect(one['sampling/seconds']).toBeGreaterThan(0);
    expect(one['sampling/operations']).toBeGreaterThan(0);
    const { stdout } = await runInProcess([...args, '--plan']);
    expect(stdout).toMatch(/^blocks-1_seed-0: .* steps, .* operations\n/);
  });

  it('compares losses on samples that are held out from all of its runs alike', {
    tags: ['slow'],
  }, async () => {
    const { args, folder, read } = tinyStudy({
      axes: [{ key: 'training.learningRate', name: 'rate', values: [1e-4, 1e-2] }],
      metrics: ['validation/ema/loss', { name: 'validation/raw/timestep-000-499', label: 'clean half' }],
    });
    const recipe = JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8'));
    recipe.data.holdOut = 0.4;
    recipe.validation = { samples: 6, timestepBins: 2 };
    writeFileSync(join(folder, 'recipe.json'), JSON.stringify(recipe));
    const { code, stderr } = await runInProcess(args);
    expect(code, stderr).toBe(0);
    const { groups } = JSON.parse(read('results.json'));
    const seenData = new Set<string>();
    for (const { labels, runs, summary } of groups) {
      const losses = runs.map(({ name, values }: { name: string; values: Record<string, number> }) => {
        const logged = readMetrics(join(folder, 'study', name, 'metrics.jsonl')).findLast(
          (line) => line['validation/ema/loss'] !== undefined,
        )!;
        expect([logged.step, logged['validation/ema/loss']]).toEqual([3, values['validation/ema/loss']]);
        const series = JSON.parse(read(`${name}/evaluations.json`));
        seenData.add(series.validation.data);
        return values['validation/ema/loss'];
      });
      expect(summary['validation/ema/loss'].mean, labels[0]).toBeCloseTo((losses[0] + losses[1]) / 2, 12);
    }
    expect(groups).toHaveLength(2);
    expect(seenData.size).toBe(1);
    expect(read('results.csv')).toMatch(
      /^rate,seed,validation\/ema\/loss,validation\/raw\/timestep-000-499,failed/,
    );
    expect(read('results.md')).toMatch(/\| 0.0001 \| 2 \| [\d.]+ ± [\de.-]+ \| [\d.]+ ± [\de.-]+ \|/);
    expect(read('validation-ema-loss.svg').match(/<circle/g)).toHaveLength(2);
    // A study without the section says so before it trains.
    delete recipe.validation;
    writeFileSync(join(folder, 'recipe.json'), JSON.stringify(recipe));
    expectBadInput(
      await runInProcess(args),
      'the metric validation/ema/loss needs a section validation of the base',
    );
  });

  it('trains with the attention of a module, and counts the caches of both guidance branches', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'chain.mjs');
    // Noised blocks attend the one before, without clean copies.
    writeFileSync(
      path,
      'export default (q, k) => !q.clean && !k.clean && (k.block === q.block || k.block === q.block - 1);',
    );
    const { args, read } = tinyStudy({
      axes: [{ key: 'model.attention', name: 'attention', values: [path, 'block-causal'] }],
      seeds: [1],
      sampling: { samples: 1, steps: 2, cfg: 2, repeats: 1 },
      metrics: ['loss', 'sampling/operations'],
    });
    const { code, stderr } = await runInProcess(args);
    expect(code, stderr).toBe(0);
    const { groups } = JSON.parse(read('results.json'));
    const [chain, causal] = groups.map(({ runs }: { runs: { name: string }[] }) => runs[0]!);
    const configOf = (name: string) => parseConfig(read(`${name}/config.json`), name);
    expect(configOf(chain.name).attention).toEqual({ noised: ['1000', '1100', '0110', '0011'] });
    for (const { name, values } of [chain, causal]) {
      const { guided } = modelNeeds(configOf(name), 1, 2).macs.sample;
      expect(values['sampling/operations']).toBe(2 * guided);
    }
  });

  it.each<[string, object, string | RegExp]>([
    [
      'no end',
      { base: { model: {}, data: {}, training: {} } },
      'give either operations or training.steps of the base',
    ],
    ['two ends', { operations: 1e9 }, 'give either operations or training.steps of the base'],
    ['an axis without values', { axes: [{ name: 'x', values: {} }] }, 'an axis has no values'],
    ['an axis with neither', { axes: [{ name: 'x' }] }, 'an axis has a key and a list of values, or a name'],
    [
      'two axes of a name',
      {
        axes: [
          { key: 'a.b', values: [1] },
          { key: 'c.b', values: [1] },
        ],
      },
      'two axes have the same name',
    ],
    [
      'two axes that change the same key',
      {
        axes: [
          { key: 'model.blocks', values: [1] },
          { name: 'other', values: { four: { 'model.blocks': 4 } } },
        ],
      },
      'the axes blocks and other both change model.blocks',
    ],
    [
      'an axis that replaces a section that another changes',
      {
        axes: [
          { key: 'model.blocks', values: [1] },
          { name: 'other', values: { four: { model: {} } } },
        ],
      },
      'the axes blocks and other both change model.blocks',
    ],
    [
      'an axis of seeds',
      { axes: [{ key: 'training.seed', values: [1, 2] }] },
      "the axis seed changes training.seed, which the study's seeds set",
    ],
    [
      'an axis of folders',
      { axes: [{ key: 'output.folder', values: ['a'] }] },
      'changes output.folder, which',
    ],
    [
      'a value twice',
      { axes: [{ key: 'model.blocks', values: [1, 1] }] },
      'two runs of the study are called',
    ],
    [
      'values whose names differ in case only',
      { axes: [{ name: 'x', values: { a: {}, A: { 'model.blocks': 1 } } }] },
      'two runs of the study are called x-A_seed-1',
    ],
    ['a misspelt metric', { metrics: ['los'] }, 'no run has the metric los; did you mean loss?'],
    [
      'a metric that the log does not have',
      { metrics: ['gradientNorm/mlp'] },
      'no run has the metric gradientNorm/mlp',
    ],
    ['a metric twice', { metrics: ['loss', { name: 'loss' }] }, 'the metric loss is given twice'],
    [
      'a score without its section',
      { metrics: ['validation/ema/loss'] },
      'needs a section validation of the base',
    ],
    [
      'a misspelt score',
      {
        axes: [{ name: 'x', values: { with: { validation: { samples: 3 } } } }],
        metrics: ['validation/ema/los'],
      },
      'no run has the metric validation/ema/los; did you mean validation/ema/loss?',
    ],
    [
      'a misspelt cost',
      { train: false, sampling: {}, metrics: ['sampling/second'] },
      'no run has the metric sampling/second; did you mean sampling/seconds?',
    ],
    [
      'a metric without its section',
      { metrics: ['sampling/seconds'] },
      'the metric sampling/seconds needs a section sampling',
    ],
    [
      'an unknown key',
      { axes: [{ key: 'model.block', values: [1] }] },
      "run block-1_seed-1: unknown key 'model.block'; did you mean 'blocks'?",
    ],
    [
      'a wrong value',
      { axes: [{ key: 'model.blocks', values: [3] }] },
      /^acdit: run blocks-3_seed-1: .*do not divide into 3 blocks/,
    ],
    ['a missing recipe', { base: 'none.json' }, "the study's base"],
  ])('refuses %s', async (_, changes, message) => {
    expectBadInput(await runInProcess(tinyStudy(changes).args), message);
  });

  it('makes a run again whose folder was removed, and says how if a run lost its numbers', async () => {
    const { args, read, inStudy } = tinyStudy({ seeds: [1], metrics: ['loss'] });
    expect((await runInProcess(args)).code).toBe(0);
    const before = read('results.csv');
    const run = inStudy('blocks-1_loss-plain_seed-1');
    rmSync(run, { recursive: true });
    const again = await runInProcess([...args, '--json']);
    expect(again.stdout.match(/"kind":"run"/g)).toHaveLength(1);
    expect(read('results.csv')).toBe(before);
    writeFileSync(join(run, 'metrics.jsonl'), '');
    const { code, stderr } = await runInProcess(args);
    expect(code).toBe(0);
    expect(stderr).toContain(
      `blocks-1_loss-plain_seed-1 has no loss: its recipe does not log it, or its log lost lines`,
    );
    expect(stderr).toContain(`to repeat the run, remove its folder ${run}`);
    const outcomes = JSON.parse(read('outcomes.json'));
    outcomes.runs['blocks-1_loss-plain_seed-1'].recipe.training = 3;
    writeFileSync(inStudy('outcomes.json'), JSON.stringify(outcomes));
    expectBadInput(await runInProcess(args), `is damaged; to repeat the run, remove its folder ${run}`);
    writeFileSync(inStudy('outcomes.json'), '{');
    expectBadInput(await runInProcess(args), /outcomes.json: not valid JSON .* restore a copy, or remove it/);
  });

  it('averages the loss over the last tenth of the steps, however rarely the recipe logs', async () => {
    const { args, read, path } = tinyStudy({
      axes: [{ key: 'model.blocks', values: [1] }],
      seeds: [1],
      metrics: ['loss'],
    });
    const study = JSON.parse(readFileSync(path, 'utf8'));
    const recipe = JSON.parse(readFileSync(join(path, '..', 'recipe.json'), 'utf8'));
    recipe.output.logEvery = 1000;
    writeFileSync(path, JSON.stringify({ ...study, base: recipe }));
    expect((await runInProcess(args)).code).toBe(0);
    expect(read('results.csv')).toMatch(/\r\n1,1,0\.\d+,\r\n$|\r\n1,1,1\.\d+,\r\n$/);
  });

  it('gives runs short names, in any script', async () => {
    const noised = Array.from({ length: 16 }, (_, i) => `${'1'.repeat(i + 1)}${'0'.repeat(15 - i)}`);
    const values = { 猫: { 'model.blocks': 1 }, 犬: { 'model.blocks': 4 } };
    const { args } = tinyStudy({
      axes: [
        { name: '型', values },
        { key: 'training.timesteps', values: ['uniform', { mean: 0, deviation: 1 }] },
      ],
      seeds: [1],
    });
    const planned = (await runInProcess([...args, '--plan'])).stdout;
    expect(planned).toMatch(
      /^型-猫_timesteps-uniform_seed-1: .*\n型-猫_timesteps--mean-0-deviation-1-_seed-1: /,
    );
    const table = {
      key: 'model.attention',
      values: ['skip-causal', { noised: [...noised.slice(0, 15), `1${'0'.repeat(14)}1`] }],
    };
    const long = tinyStudy({
      axes: [{ key: 'model.blocks', values: [16] }, table],
      seeds: [1],
      metrics: ['loss'],
    });
    const { code, stderr } = await runInProcess(long.args);
    expect(code, stderr).toBe(0);
    expect(long.read('results.csv').trim().split('\r\n')).toHaveLength(3);
  });

  it('refuses to mix samples of different guidance in its scores', async () => {
    const base = (scored: boolean, cfg: number) => (folder: string) => ({
      ...JSON.parse(readFileSync(join(folder, 'recipe.json'), 'utf8')),
      output: { sampleSteps: 2, cfg },
      ...(scored && { evaluation: { network: 'inception', samples: 4, references: 4 } }),
    });
    const changes = { axes: [{ key: 'model.blocks', values: [1] }], seeds: [1], metrics: ['steps'] };
    const { args, folder, path, inStudy } = tinyStudy(changes);
    const study = JSON.parse(readFileSync(path, 'utf8'));
    const withBase = (recipe: object) => writeFileSync(path, JSON.stringify({ ...study, base: recipe }));
    withBase(base(false, 2)(folder));
    expect((await runInProcess(args)).code).toBe(0);
    withBase(base(false, 3)(folder)); // without scores, this changes nothing that the study reports
    expect((await runInProcess(args)).code).toBe(0);
    const outcomes = JSON.parse(readFileSync(inStudy('outcomes.json'), 'utf8'));
    outcomes.runs['blocks-1_seed-1'].recipe.evaluation = {
      every: 3,
      network: 'inception',
      samples: 4,
      references: 4,
    };
    writeFileSync(inStudy('outcomes.json'), JSON.stringify(outcomes));
    withBase(base(true, 3)(folder));
    expectBadInput(
      await runInProcess(args),
      'the run blocks-1_seed-1 has ended with different settings of output; restore them',
    );
  });

  it('refuses a folder in which another process runs the study', async () => {
    const { args, inStudy, folder } = tinyStudy();
    mkdirSync(join(folder, 'study'));
    const lock = await lockFolder(inStudy('.'));
    expectBadInput(await runInProcess(args), 'is writing to it');
    await lock.close();
  });

  it('refuses the folder of a model or a training', async () => {
    for (const name of ['config.json', 'metrics.jsonl']) {
      const { args, inStudy, folder } = tinyStudy();
      mkdirSync(join(folder, 'study'));
      writeFileSync(inStudy(name), '');
      expectBadInput(await runInProcess(args), `holds a model or a training (${name})`);
      expect(readdirSync(join(folder, 'study'))).toEqual([name]);
    }
  });
});

describe('tables of a study', () => {
  it('quote what the format needs quoted', async () => {
    const study = await readStudy(
      tinyStudy({ axes: [{ name: 'a|b', values: { 'x, "y"': {} } }], metrics: ['loss'] }).path,
    );
    const run = { name: 'r', labels: ['x, "y"'], seed: 7 } as never;
    const rows = [1.5, 2.5].map((loss) => ({ run, failed: undefined, values: { loss } }));
    expect(csvTable(study, rows)).toBe('a|b,seed,loss,failed\r\n"x, ""y""",7,1.5,\r\n"x, ""y""",7,2.5,\r\n');
    const groups = studyGroups(study, rows);
    expect(markdownTable(study, groups)).toContain(
      '| a\\|b | runs | loss |\n| --- | --- | --- |\n| x, "y" | 2 | 2 ± 0.71 |',
    );
  });
});
