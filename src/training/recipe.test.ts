import { describe, expect, it } from 'vitest';
import { parseConfig } from '../checkpoints/config-json.ts';
import { ConfigError } from '../errors.ts';
import { type DatasetTraits, parseRecipe, recipeModel } from './recipe.ts';

const valid = {
  model: { size: 'B', patch: 2, blocks: 4 },
  data: { path: 'data', imageSize: 8 },
  training: { steps: 10, batch: 2 },
  output: { folder: 'out' },
};

/** The valid recipe with one section changed. */
function changed(section: keyof typeof valid, changes: object): unknown {
  return { ...valid, [section]: { ...valid[section], ...changes } };
}

describe('a recipe', () => {
  it('is refused in one bounded line, for any keys', () => {
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`key${i}`, 1]));
    const hostile = { [`\u001b[31m\r\n\u202e${'x'.repeat(5000)}`]: 1 };
    for (const keys of [many, hostile, { path: 'é'.repeat(9000), kind: 'é'.repeat(9000) }]) {
      let message = '';
      try {
        parseRecipe(changed('data', keys));
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigError);
        ({ message } = error as Error);
      }
      expect(message.length).toBeGreaterThan(0);
      expect(message.length).toBeLessThan(4000);
      expect(message).not.toMatch(/[\p{Cc}\u202e]/u);
    }
    expect(() => parseRecipe(changed('data', many))).toThrow(/'data\.key7'.* and 4992 more$/);
  });

  it.each([{ window: 2 }, { window: 2, sinks: 0 }])('has one spelling of a window: %o', (attention) => {
    expect(parseRecipe(changed('model', { attention })).model.attention).toEqual({ window: 2 });
  });

  it('gets defaults, and keeps what it says', () => {
    const recipe = parseRecipe(changed('training', { ema: 0.5 }));
    expect(recipe.training).toMatchObject({
      steps: 10,
      ema: 0.5,
      betas: [0.9, 0.95],
      clip: 1,
      accumulate: 1,
    });
    expect(recipe.model).toMatchObject({ squareBlocks: true, positionSplit: [1, 1], mlpRatio: 4 });
    expect(parseRecipe(recipe)).toEqual(recipe);
  });

  it.each<[string, unknown, RegExp]>([
    [
      'an unknown key',
      changed('training', { learningrate: 1 }),
      /'training.learningrate'; did you mean 'learningRate'/,
    ],
    [
      'two unknown keys',
      changed('data', { pth: 1, chanels: 1 }),
      /'data.pth'.*'path'.*'data.chanels'.*'channels'/,
    ],
    ['an unknown section', { ...valid, trainin: {} }, /'trainin'; did you mean 'training'/],
    ['a missing section', { ...valid, data: undefined }, /data: /],
    ['a missing key', changed('output', { folder: undefined }), /output.folder: /],
    ['a wrong type', changed('training', { steps: '10' }), /training.steps: .*number/],
    [
      'a wrong choice',
      changed('training', { schedule: 'linear' }),
      /training.schedule: .*"constant"\|"cosine"\|"wsd"/,
    ],
    ['a fraction of a step', changed('training', { steps: 1.5 }), /training.steps: /],
    ['no step', changed('training', { steps: 0 }), /training.steps: /],
    ['a share beyond 1', changed('training', { labelDrop: 1.1 }), /training.labelDrop: /],
    ['a beta of 1', changed('training', { betas: [0.9, 1] }), /training.betas.1: /],
    [
      'a warm-up beyond the end',
      changed('training', { warmupSteps: 11 }),
      /training.warmupSteps: must be at most steps/,
    ],
    ['an evaluation that compares nothing', { ...valid, evaluation: { every: 5 } }, /evaluation.network: /],
    [
      'an evaluation of clips',
      { ...(changed('data', { frames: 4 }) as object), evaluation: { every: 5, network: 'x' } },
      /evaluation: compares images, and the data is clips/,
    ],
    ...['batch', 'activations', 'timesteps'].map((key): [string, unknown, RegExp] => [
      `a list as ${key}`,
      changed('training', { [key]: [1] }),
      new RegExp(`^my.json: training.${key}: Invalid input: expected `),
    ]),
    [
      'a mean of the wrong type',
      changed('training', { timesteps: { mean: 'NaN', deviation: 1 } }),
      /training.timesteps.mean: Invalid input: expected number, received string/,
    ],
    [
      'a misspelt deviation',
      changed('training', { timesteps: { mean: 0, deviatoin: 1 } }),
      /training.timesteps.deviation: .*; unknown key 'training.timesteps.deviatoin'$/,
    ],
    [
      'timesteps out of reach',
      changed('training', { timesteps: { mean: 1e300, deviation: 1 } }),
      /timesteps.mean: Too big/,
    ],
    [
      'timesteps that are all alike',
      changed('training', { timesteps: { mean: 0, deviation: 1e-300 } }),
      /timesteps.deviation: Too small/,
    ],
    [
      '2 channels',
      changed('data', { channels: 2 }),
      /data.channels: Invalid input: expected 1, or expected 3$/,
    ],
    [
      'a best score of no use',
      changed('output', { best: { metric: 'validation/ema/loss', mode: 'less' } }),
      /output.best.mode: Invalid option: expected one of "min"\|"max"/,
    ],
    [
      'an unknown attention',
      changed('model', { attention: 'windowed' }),
      /model.attention: must be skip-causal.* got 'windowed'; a module ends in .mjs, .js or .ts$/,
    ],
    ['one beta', changed('training', { betas: [0.9] }), /training.betas: /],
    ['a wrong size', changed('model', { size: 'S' }), /model.size: .*"B"/],
    ['no object', [], /object/],
    ['nothing', undefined, /object/],
  ])('is refused with %s', (_, json, message) => {
    expect(() => parseRecipe(json, 'my.json')).toThrow(ConfigError);
    expect(() => parseRecipe(json, 'my.json')).toThrow(message);
    expect(() => parseRecipe(json, 'my.json')).toThrow(/^my\.json: [^\n]*$/);
  });
});

describe("a recipe's model", () => {
  const names = ['a', 'b', 'c'];
  const model = (changes: object, data: Partial<DatasetTraits> = {}) =>
    recipeModel(parseRecipe(changed('model', changes)), {
      classNames: names,
      sampleShape: [1, 3, 8, 8],
      ...data,
    });

  it('has the size of the paper, or its own', () => {
    expect(model({})).toMatchObject({
      layers: 12,
      hidden: 768,
      heads: 12,
      blockSize: 4,
      blocks: 4,
      classNames: names,
    });
    expect(model({ layers: 3 })).toMatchObject({ layers: 3, hidden: 768 });
    expect(
      model({ size: undefined, layers: 1, hidden: 8, heads: 1 }, { sampleShape: [1, 1, 8, 8] }),
    ).toMatchObject({
      layers: 1,
      hidden: 8,
      classes: 3,
      channels: 1,
      height: 8,
      space: 'pixels',
    });
  });

  it('may be guided by noise level and block, which becomes the guidance of the model', () => {
    const guidance = { scale: 2.3, interval: [-3.6, 1.8], schedule: 'linear' };
    const recipe = parseRecipe(changed('output', { guidance }));
    expect(recipe.output.guidance).toEqual(guidance);
    const config = recipeModel(recipe, { classNames: names, sampleShape: [1, 3, 8, 8] });
    expect(config.guidance).toEqual(guidance);
    expect(parseConfig(JSON.stringify(config), 'config.json')).toEqual(config);
  });

  it.each<[object, RegExp]>([
    [{ cfg: 2, guidance: { scale: 2 } }, /output.cfg: give the scale as output.guidance.scale/],
    [{ guidance: { interval: [-1, 1] } }, /output.guidance/],
    [{ guidance: { scale: 2, schedule: 'cosine' } }, /output.guidance/],
  ])('is refused with the output %j', (output, message) => {
    expect(() => parseRecipe(changed('output', output))).toThrow(message);
  });

  it.each<[object, string]>([
    [
      { scale: 2, interval: [1.8, -3.6] },
      'guidance.interval must be two log signal-to-noise ratios, the lower first',
    ],
    [
      { scale: 2, interval: [20, 30] },
      'guidance.interval must contain the log signal-to-noise ratio of some timestep',
    ],
    [{ scale: [1, 2] }, 'guidance.scale must be one number, or one for each of 4 blocks, got 2'],
    [{ scale: [1, 2, 3, 4], schedule: 'linear' }, 'guidance.schedule must be left out'],
  ])('makes no model with the guidance %j', (guidance, message) => {
    const recipe = parseRecipe(changed('output', { guidance }));
    expect(() => recipeModel(recipe, { classNames: names, sampleShape: [1, 3, 8, 8] })).toThrow(message);
  });

  it.each([0, 0.5])('may be guided with a scale of %d', (cfg) => {
    const recipe = parseRecipe({
      ...(changed('output', { cfg }) as object),
      evaluation: { every: 5, network: 'x', cfg },
    });
    expect(recipe).toMatchObject({ output: { guidance: cfg }, evaluation: { cfg } });
    expect(recipeModel(recipe, { classNames: names, sampleShape: [1, 3, 8, 8] }).guidance).toBe(cfg);
  });

  it('makes latents where the data is latents, and knows whose', () => {
    const autoencoder = { fingerprint: 'abc', scalingFactor: 0.5 };
    const latents = {
      sampleShape: [1, 4, 32, 16],
      autoencoder: { ...autoencoder, downsampling: 8 },
    } as const;
    const expected = { space: 'latents', channels: 4, height: 32, width: 16, autoencoder };
    expect(model({ blocks: 8 }, latents)).toMatchObject({ ...expected, blockSize: 16 });
    expect(model({ blocks: 8 }, latents).downsampling).toBeUndefined(); // that of the paper
    const other = { ...latents, autoencoder: { ...latents.autoencoder, downsampling: 4 } };
    expect(model({ blocks: 8 }, other)).toMatchObject({ ...expected, downsampling: 4 });
  });

  it.each<[object, RegExp]>([
    [{ size: undefined, layers: 2 }, /needs a size, or layers, hidden and heads/],
    [{ patch: 3 }, /images of 8 x 8 in patches of 3 do not divide into 4 blocks/],
    [{ blocks: 5 }, /do not divide into 5 blocks/],
    [{ blocks: 2 }, /square blocks of 8/],
    [{ heads: 7 }, /multiple of heads/],
    [{ positionSplit: [1, 2] }, /positionSplit/],
  ])('is refused with %j', (changes, message) => {
    expect(() => model(changes)).toThrow(ConfigError);
    expect(() => model(changes)).toThrow(message);
  });
});
