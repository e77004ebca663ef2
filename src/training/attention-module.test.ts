import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ConfigError } from '../errors.ts';
import { attentionOfModule, loadAttention } from './attention-module.ts';
import { parseRecipe, recipeModel } from './recipe.ts';

function moduleOf(text: string, name = 'mask.mjs'): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, text);
  return path;
}

/** The text of a module whose predicate is an expression of query (q) and key (k). */
const predicate = (expression: string): string => `export default (q, k) => ${expression};`;

const SKIP_CAUSAL = `(k.clean
  ? (q.clean ? k.block <= q.block : k.block < q.block)
  : (!q.clean && k.block === q.block))`;

describe('the attention of a module', () => {
  it.each<[string, string, unknown]>([
    ['the paper’s', SKIP_CAUSAL, 'skip-causal'],
    ['block-causal', '!k.clean && k.block <= q.block', 'block-causal'],
    ['full', 'true && !k.clean', 'full'],
    [
      'one of its own',
      'k.clean ? k.block < q.block && (q.block - k.block) % 2 === 1 || (q.clean && k.block === q.block) : !q.clean && q.block === k.block',
      { noised: ['1000', '1100', '0110', '1011'], clean: ['1000', '1100', '0110', '1011'] },
    ],
    [
      'one without copies',
      '!k.clean && (k.block === q.block || k.block === q.block - 2)',
      { noised: ['1000', '0100', '1010', '0101'] },
    ],
  ])('%s is a setting', async (_, expression, expected) => {
    expect(await attentionOfModule(moduleOf(predicate(expression)), 4)).toEqual(expected);
  });

  it('may also be exported by name', async () => {
    const path = moduleOf('export const attention = (q, k) => !k.clean && k.block <= q.block;');
    expect(await attentionOfModule(path, 3)).toBe('block-causal');
  });

  it.each<[string, string | undefined, RegExp]>([
    ['that is missing', undefined, /is not a file; give its path, relative to the current folder$/],
    ['that does not parse', 'export default (', /cannot be loaded: /],
    [
      'that Node.js does not read',
      'throw Object.assign(new Error("?"), { code: "ERR_UNKNOWN_FILE_EXTENSION" })',
      /cannot be loaded: Node\.js \d+\.\d+\.\d+ does not read TypeScript; give it as JavaScript \(\.mjs\), or use/,
    ],
    ['that throws', 'throw new Error("no\\nGPU")', /cannot be loaded: no GPU$/],
    ['without a function', 'export default 3;', /must export a function .* got number/],
    ['without an export', 'export {};', /got undefined/],
    ['whose predicate throws', predicate('q.blck.x'), /failed for noised block 0 and clean block 0: /],
    ['of numbers', predicate('1'), /must return true or false, got 1 for noised block 0 and clean block 0/],
    [
      'that looks ahead',
      predicate(`${SKIP_CAUSAL} || (q.clean && k.clean)`),
      /must not look ahead, and clean block 0/,
    ],
    [
      'that looks at the answer',
      predicate(`${SKIP_CAUSAL} || (k.clean && k.block === q.block)`),
      /block 0 attends its own clean copy/,
    ],
    [
      'in which nothing sees itself',
      predicate('k.clean && k.block < q.block'),
      /must let each block attend itself, and noised block 0 does not/,
    ],
    [
      'whose clean blocks depend on noised ones',
      predicate(`${SKIP_CAUSAL} || (q.clean && k.block < q.block)`),
      /clean block 1 attends noised block 0/,
    ],
    [
      'that mixes copies and noised blocks',
      predicate(`${SKIP_CAUSAL} || (!q.clean && k.block < q.block)`),
      /noised block 1 attends noised block 0, and others attend clean ones/,
    ],
  ])('%s is refused in one line', async (_, text, message) => {
    const path = text === undefined ? join(temporaryFolder(), 'none.mjs') : moduleOf(text);
    const error = await attentionOfModule(path, 4).catch((error: Error) => error);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/^attention module [^\n]*$/);
  });

  it('is refused for more blocks than a table has', async () => {
    await expect(attentionOfModule('never-loaded.mjs', 1025)).rejects.toThrow(
      /at most 1024 blocks, got 1025/,
    );
  });
});

describe('a recipe', () => {
  const recipe = (attention: unknown, training = {}) =>
    parseRecipe({
      model: { layers: 1, hidden: 8, heads: 1, patch: 2, blocks: 4, attention },
      data: { path: 'data' },
      training: { steps: 1, batch: 1, ...training },
      output: { folder: 'out' },
    });
  const data = { classNames: ['a'], sampleShape: [1, 1, 4, 4] as [number, number, number, number] };

  it('keeps the table of its module, which a model then has', async () => {
    const path = moduleOf(predicate('!k.clean && (k.block === q.block || k.block === q.block - 2)'));
    const given = recipe(path);
    expect(() => recipeModel(given, data)).toThrow(
      /names the module .* which is not loaded; call loadAttention/,
    );
    const loaded = await loadAttention(given);
    const table = { noised: ['1000', '0100', '1010', '0101'] };
    expect(loaded.model.attention).toEqual(table);
    expect(recipeModel(loaded, data).attention).toEqual(table);
    expect(parseRecipe(loaded)).toEqual(loaded);
    expect(await loadAttention(loaded)).toBe(loaded);
  });

  it('has one timestep per sample for full attention, and refuses others', async () => {
    expect(recipe('full').training.timestepPer).toBe('sample');
    expect(recipe('block-causal').training.timestepPer).toBe('block');
    expect(recipe(undefined).training.timestepPer).toBe('block');
    expect(() => recipeModel(recipe('full', { timestepPer: 'block' }), data)).toThrow(
      /training.timestepPer must be sample, got block/,
    );
  });

  it('refuses a module that is full attention unless samples have one timestep, before any data is read', async () => {
    const path = moduleOf(predicate('!q.clean && !k.clean'));
    await expect(loadAttention(recipe(path))).rejects.toThrow(
      /^attention module .*: lets every block attend all others, .*; set training.timestepPer to sample$/,
    );
    const loaded = await loadAttention(recipe(path, { timestepPer: 'sample' }));
    expect(recipeModel(loaded, data).attention).toBe('full');
  });

  it('refuses guidance by block for full attention', () => {
    const guided = {
      ...recipe('full'),
      output: { folder: 'out', guidance: { scale: 2, schedule: 'linear' } },
    };
    expect(() => recipeModel(parseRecipe(guided), data)).toThrow(
      /guidance.schedule must be the same for all blocks, since attention full/,
    );
  });

  it.each([
    ['full-causal', /model.attention: must be skip-causal, .* got 'full-causal'/],
    [{ window: 0 }, /model.attention: must have a window of 1 block or more, got 0/],
    [{ noised: ['1'] }, /model.attention: must have one row for each of 4 blocks in noised, got 1 rows/],
  ])('with %j is refused', (attention, message) => {
    expect(() => recipe(attention)).toThrow(message);
  });
});
