import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../errors.ts';
import { reportFailure } from './failure.ts';

function report(error: unknown, verbose = false, signal = new AbortController().signal) {
  let text = '';
  const stream = { write: (part: string) => (text += part) };
  const code = reportFailure(error, verbose, { stdout: stream, stderr: stream, signal });
  return { code, text };
}

describe('reportFailure', () => {
  it('gives one line for what the user can act on', () => {
    const error = new ArgumentError('bad\n  input');
    expect(report(error)).toEqual({ code: 2, text: 'acdit: bad input\n' });
    expect(report(error, true).text).toContain('failure.test.ts');
  });

  it('gives one line for what the system refuses', () => {
    try {
      readFileSync('no-such-file');
    } catch (error) {
      expect(report(error)).toEqual({
        code: 2,
        text: expect.stringMatching(/^acdit: ENOENT.*no-such-file'\n$/),
      });
    }
    expect.assertions(1);
  });

  it('shows the stack and the cause of a bug', () => {
    const { code, text } = report(new TypeError('oops', { cause: new Error('deeper') }));
    expect(code).toBe(1);
    expect(text).toMatch(/bug[\s\S]*TypeError: oops\n +at [\s\S]*caused by Error: deeper/);
    expect(report('text')).toMatchObject({ code: 1 });
  });

  it('is quiet about an interruption, but not about what went wrong because of it', () => {
    const controller = new AbortController();
    controller.abort(new Error('interrupted'));
    expect(report(controller.signal.reason, false, controller.signal)).toEqual({ code: 130, text: '' });
    expect(report(new ArgumentError('disk full'), false, controller.signal).code).toBe(2);
  });
});
