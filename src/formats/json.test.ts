import { expect, test } from 'vitest';
import { z } from 'zod';
import { CheckpointError } from '../errors.ts';
import { parseJsonOf } from './json.ts';

const schema = z.object({ layers: z.number(), sizes: z.array(z.number()) });
const parse = (text: string) => parseJsonOf(text, 'a.json', schema, 'no such thing', CheckpointError);

test('gives what fits the schema', () => {
  expect(parse('{ "layers": 2, "sizes": [1, 2] }')).toEqual({ layers: 2, sizes: [1, 2] });
});

test.each([
  ['{', /^a.json: not valid JSON \(/],
  ['[]', /^a.json: no such thing: file: /],
  ['{ "layers": 2, "sizes": [1, "x"] }', /^a.json: no such thing: sizes.1: [^;]*$/],
  ['{ "layers": 2, "sizes": ["a", "b", "c", "d", "e", "f", "g"] }', /sizes.4: [^;]*; and 2 more$/],
])('says what is wrong with %s', (text, message) => {
  expect(() => parse(text)).toThrow(message);
  expect(() => parse(text)).toThrow(CheckpointError);
});
