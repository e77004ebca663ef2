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

  it('gives one line where memory runs out', () => {
    const failures = [
      () => new Float32Array(2 ** 40),
      () => new ArrayBuffer(2 ** 45),
      () => 'x'.repeat(2 ** 29).repeat(2 ** 10),
      () => {
        throw new Error('Non-zero status code: std::bad_alloc'); // ONNX Runtime
      },
    ];
    for (const allocate of failures) {
      expect(allocate).toThrow();
      try {
        allocate();
      } catch (error) {
        const { code, text } = report(error);
        expect(text).toMatch(/^acdit: there is not enough memory for this \(.*\); .*\n$/);
        expect(code).toBe(2);
      }
    }
    expect(report(new RangeError('Invalid typed array length: -1')).text).toMatch(/bug/);
  });

  it('lets no escape sequence through, and bounds the line', () => {
    expect(report(new ArgumentError('\x1b[2J\u202e猫')).text).toBe('acdit: ?[2J?猫\n');
    expect(report(new ArgumentError('x'.repeat(1e6))).text.length).toBeLessThan(5000);
    expect(report(new TypeError('\x1b]0;t\x07')).text).toContain('TypeError: ?]0;t?');
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
