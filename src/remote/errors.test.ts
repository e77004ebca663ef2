import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as errors from '../errors.ts';
import { TruncatedPickle } from '../formats/torch/pickle-reader.ts';
import { encodeError, reviveError } from './errors.ts';

/** An error as it arrives at the other end. */
function sent(thrown: unknown): Error {
  return reviveError(structuredClone(encodeError(thrown)));
}

const { ApiError, MAX_MESSAGE_LENGTH: _, ...simple } = errors;

describe('an error from the other end', () => {
  it.each(Object.entries(simple))('is a %s again', (name, type) => {
    const error = sent(new type('what is wrong'));
    expect(error).toBeInstanceOf(type);
    expect(error).toBeInstanceOf(errors.AcditError);
    expect([error.name, error.message]).toEqual([name, 'what is wrong']);
  });

  it('keeps the fields of an ApiError', () => {
    const details = { param: 'size', retryAfter: 5, allowed: ['GET', 'POST'] };
    const error = sent(new ApiError(429, 'too_many', 'wait', { ...details, cause: new Error('secret') }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 429, code: 'too_many', message: 'wait', ...details });
    expect(error.cause).toBeUndefined();
  });

  it('of an unknown class is one of the nearest known one', () => {
    expect(sent(new TruncatedPickle('ends early'))).toBeInstanceOf(errors.FormatError);
    const foreign = sent(new RangeError('too deep'));
    expect([foreign.constructor, foreign.name, foreign.message]).toEqual([Error, 'RangeError', 'too deep']);
    expect(sent(new DOMException('stopped', 'AbortError')).name).toBe('AbortError');
  });

  it('has the stack of where it was thrown', () => {
    const error = new Error('unexpected');
    expect(sent(error).stack).toBe(error.stack);
  });

  it('keeps what the system says', () => {
    const error = Object.assign(new Error('no such file'), { code: 'ENOENT', errno: -2, other: { a: 1 } });
    expect(sent(error)).toMatchObject({ code: 'ENOENT', errno: -2 });
    expect(sent(error)).not.toHaveProperty('other');
  });

  it('is printable and bounded for anything thrown', () => {
    const long = `\u001b[31m${'x'.repeat(100_000)}`;
    const error = sent(Object.assign(new Error(long), { name: long, detail: long, list: [long] }));
    for (const text of [error.name, error.message, error.stack, JSON.stringify(Object.entries(error))]) {
      expect(text).not.toContain('\u001b');
      expect(text!.length).toBeLessThan(40_000);
    }
    fc.assert(
      fc.property(fc.anything(), (thrown) => {
        expect(sent(thrown)).toBeInstanceOf(Error);
        const fields = typeof thrown === 'object' ? { ...thrown } : {};
        expect(sent(Object.assign(new Error('odd'), fields))).toBeInstanceOf(Error);
      }),
    );
  });
});
