import { expect, test } from 'vitest';
import { z } from 'zod';
import { CheckpointError, FormatError } from '../errors.ts';
import { parseJson, parseJsonOf } from './json.ts';

const schema = z.object({ layers: z.number(), sizes: z.array(z.number()) });
const parse = (text: string) => parseJsonOf(text, 'a.json', schema, 'no such thing', CheckpointError);

test('gives what fits the schema', () => {
  expect(parse('{ "layers": 2, "sizes": [1, 2] }')).toEqual({ layers: 2, sizes: [1, 2] });
});

test.each([
  ['{', /^a.json: not valid JSON \(.*\), so no such thing$/],
  ['[]', /^a.json: no such thing: file: /],
  [
    '{ "layers": 2, "sizes": [], "more": [{ "__proto__": 1 }] }',
    /^a.json: no such thing: __proto__ cannot be a key$/,
  ],
  ['{ "layers": 2, "sizes": [1, "x"] }', /^a.json: no such thing: sizes.1: [^;]*$/],
  ['{ "layers": 2, "sizes": ["a", "b", "c", "d", "e", "f", "g"] }', /sizes.4: [^;]*; and 2 more$/],
])('says what is wrong with %s', (text, message) => {
  expect(() => parse(text)).toThrow(message);
  expect(() => parse(text)).toThrow(CheckpointError);
});

test.each<[unknown, string]>([
  [5, 'limit: Invalid input: expected "none", or expected object, received number'],
  [{ max: 'x' }, 'limit.max: Invalid input: expected number, received string'],
  [{ max: 1, mux: 2 }, 'limit: Unrecognized key: "mux"'],
  [{}, 'limit.max: Invalid input: expected number, received undefined'],
])('says what a union expects instead of %j', (limit, message) => {
  const union = z.object({ limit: z.union([z.literal('none'), z.strictObject({ max: z.number() })]) });
  const text = JSON.stringify({ limit });
  expect(() => parseJsonOf(text, 'a.json', union, 'not it', FormatError)).toThrow(
    `a.json: not it: ${message}`,
  );
});

test('ignores a byte order mark, and names UTF-16', () => {
  expect(parse('\ufeff{ "layers": 2, "sizes": [] }')).toEqual({ layers: 2, sizes: [] });
  const utf16 = Buffer.from('\ufeff{ "layers": 2 }', 'utf16le').toString('utf8');
  expect(() => parse(utf16)).toThrow('a.json: not valid JSON (it seems to be UTF-16; save it as UTF-8)');
});

test('bounds the depth, so that nothing that walks the value overflows', () => {
  const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  expect(parseJson(nested(100), 'a.json', FormatError)).toBeInstanceOf(Array);
  for (const depth of [101, 200_000]) {
    expect(() => parseJson(nested(depth), 'a.json', FormatError)).toThrow(
      'a.json: its JSON is nested more than 100 levels deep',
    );
  }
});

test('bounds and cleans what a message quotes of the file', () => {
  const problem = (text: string): string => {
    try {
      parseJsonOf(text, 'a.json', z.strictObject({ known: z.literal('yes') }), 'not it', FormatError);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  for (const text of [
    JSON.stringify({ known: 'yes', [`\x1b[2J${'k'.repeat(100_000)}`]: 1 }),
    JSON.stringify({ known: '\x1b]0;\x07'.repeat(10_000) }),
    `{"a": \x1b[31m${'x'.repeat(100_000)}`,
  ]) {
    expect(problem(text)).toMatch(/^a\.json: [\x20-\x7e]{1,300}$/);
  }
});
