import { expect, it } from 'vitest';
import { compareCodePoints } from './code-point-order.ts';

it('orders names as Python does', () => {
  // sorted(...) of Python 3.12 over the same names
  const sorted = [
    '',
    '!',
    'A',
    'Z',
    'a',
    'aa',
    'a\u0301',
    'b',
    '\u00e9',
    '\ue000',
    '\ufb01',
    '\uff21',
    '\u{1f431}',
  ];
  sorted.push('\u{1f431}a', '\u{1f436}', '\u{20000}');
  expect([...sorted].reverse().sort(compareCodePoints)).toEqual(sorted);
  expect(compareCodePoints('x', 'x')).toBe(0);
});
