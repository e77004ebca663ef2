import { describe, expect, it } from 'vitest';
import { printable, printableJson, printableLines, printableList, printableMessage } from './printable.ts';

describe('printable', () => {
  it('keeps letters of every script, accents, joiners and emoji', () => {
    const names = ['kočka', '猫', 'Ä é ñ', 'بيت', 'नमस्ते', 'می‌خواهم', '👩‍🚀', 'T-shirt/top'];
    for (const name of names) expect(printable(name)).toBe(name);
  });

  it('lets no escape sequence, control character, bidi mark or lone surrogate through', () => {
    expect(printable('\x1b[31mred\x1b[0m')).toBe('?[31mred?[0m');
    expect(printable('\x9b2J\x7f\0\b')).toBe('?2J???');
    expect(printable('a\u202egpj.exe\u2066\u200f\u061c\ufeff')).toBe('a?gpj.exe????');
    expect(printable('\ud800')).toBe('?');
  });

  it('is one line', () => {
    expect(printable('one\r\n\ttwo\u2028three\u2029four\u0085five')).toBe('one two three four five');
  });

  it('is at most as long as asked, counting characters, and cuts none in two', () => {
    expect(printable('x'.repeat(80))).toBe('x'.repeat(80));
    expect(printable('x'.repeat(81))).toBe(`${'x'.repeat(77)}...`);
    expect(printable('👍'.repeat(80))).toBe('👍'.repeat(80));
    expect(printable('👍'.repeat(200), 10)).toBe(`${'👍'.repeat(7)}...`);
    expect(printable(`${'\n'.repeat(1000)}end`, 10)).toBe(' ...');
  });

  it('names lists and objects without walking them or calling their methods', () => {
    const hostile = { toString: null, [Symbol.toPrimitive]: null };
    expect([hostile, [hostile], Object.create(null)].map((value) => printable(value))).toEqual([
      'an object',
      'a list',
      'an object',
    ]);
    expect([null, undefined, 1.5, 2n ** 70n, true].map((value) => printable(value))).toEqual([
      'null',
      'undefined',
      '1.5',
      '1180591620717411303424',
      'true',
    ]);
  });

  it('lists the first values and counts the rest', () => {
    expect(printableList([])).toBe('none');
    expect(printableList(['a', 'b\n'])).toBe('a, b ');
    expect(printableList(Array.from({ length: 10 }, (_, i) => i))).toBe('0, 1, 2, 3, 4, 5, 6, 7, and 2 more');
  });
});

describe('whole messages', () => {
  it('are one bounded line, and stacks keep their lines', () => {
    expect(printableMessage('what\n  is wrong\x1b]0;title\x07')).toBe('what is wrong?]0;title?');
    expect(printableMessage('x'.repeat(100_000)).length).toBe(4000);
    expect(printableLines('a\x1b\nb')).toBe('a?\nb');
  });
});

describe('printable JSON', () => {
  it('holds the same value and no character that a terminal obeys', () => {
    const value = { name: '\x1b[2J\x9b\u202e\u{e0001}猫', '\u2066': [1, null] };
    const text = printableJson(value);
    expect(text).toMatch(/^[\x20-\x7e猫]*$/u);
    expect(JSON.parse(text)).toEqual(value);
  });
});
