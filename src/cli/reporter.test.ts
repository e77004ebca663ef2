import { afterEach, describe, expect, it, vi } from 'vitest';
import { terminalReporter } from './reporter.ts';

/** A reporter whose output is kept as text. */
function start(options: Parameters<typeof terminalReporter>[1] = {}, isTTY = false) {
  const out = { stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') => ({
    isTTY,
    write: (text: string) => {
      out[name] += text;
    },
  });
  const terminal = {
    stdout: stream('stdout'),
    stderr: stream('stderr'),
    signal: new AbortController().signal,
  };
  return { out, report: terminalReporter(terminal, options) };
}

function reportAll({ report }: ReturnType<typeof start>): void {
  report.say('a message');
  report.warn('a\nproblem');
  report.note('a note');
  report.emit({ kind: 'done' });
  report.print('a result');
  report.progress({ total: 2, label: 'work' }).finish();
}

describe('terminalReporter', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    [{}, 'a message\nwarning: a problem\nnote: a note\nwork 0/2\n', 'a result\n'],
    [{ quiet: true }, 'warning: a problem\nnote: a note\n', 'a result\n'],
    [{ json: true }, 'warning: a problem\nnote: a note\n', '{"kind":"done"}\n'],
  ])('writes what %j asks for', (options, stderr, stdout) => {
    const started = start(options);
    reportAll(started);
    expect(started.out).toEqual({ stdout, stderr });
  });

  it('makes control characters of names visible', () => {
    const { out, report } = start();
    report.say('\u001b[2Ja\nb');
    expect(out.stderr).toBe('?[2Ja\nb\n');
  });

  it('writes messages above the bar of the work in progress', () => {
    // The clock stands still: the bar shows a speed as soon as a millisecond has passed.
    vi.useFakeTimers();
    const { out, report } = start({}, true);
    const progress = report.progress({ total: 2, label: 'work' });
    progress.update(1);
    report.warn('a problem');
    progress.finish();
    report.say('done');
    const [, bar, above, after] = out.stderr.split('\u001b[K');
    expect(bar).toContain('1/2');
    expect(above).toMatch(/^warning: a problem\nwork .*1\/2\ndone\n$/);
    expect(after).toBeUndefined();
  });
});
