import { describe, expect, it } from 'vitest';
import { formatSpeed, plainLine, startProgress, terminalLine } from './progress.ts';

/** A progress on a stream that is kept as text, with a clock that is set by hand. */
function start(
  options: Partial<Parameters<typeof startProgress>[0]> & { isTTY?: boolean; columns?: number } = {},
) {
  const { isTTY = false, columns = 80, ...rest } = options;
  const out = { text: '', time: 0 };
  const stream = {
    isTTY,
    columns,
    write: (text: string) => {
      out.text += text;
    },
  };
  const progress = startProgress({ stream, total: 100, label: 'train', now: () => out.time, ...rest });
  return { out, progress };
}

describe('startProgress', () => {
  it('writes plain lines every few seconds where there is no terminal', () => {
    const { out, progress } = start();
    for (let step = 1; step <= 20; step++) {
      out.time = step * 1000;
      progress.update(step, { loss: (1 / step).toFixed(2) });
    }
    progress.finish();
    expect(out.text.split('\n')).toEqual([
      'train 1/100  loss 1.00  1.00 steps/s  1m39s left',
      'train 6/100  loss 0.17  1.00 steps/s  1m34s left',
      'train 11/100  loss 0.09  1.00 steps/s  1m29s left',
      'train 16/100  loss 0.06  1.00 steps/s  1m24s left',
      'train 20/100  loss 0.05  1.00 steps/s  1m20s left',
      '',
    ]);
  });

  it('rewrites one line on a terminal', () => {
    const { out, progress } = start({ isTTY: true });
    out.time = 1000;
    progress.update(50);
    out.time = 1050; // too soon to redraw
    progress.update(75);
    expect(out.text.split('\r')).toHaveLength(2);
    out.time = 2000;
    progress.update(100);
    progress.log('saved');
    progress.finish();
    expect(out.text.split('\r').slice(2)).toEqual([
      `\u001b[Ktrain ${'█'.repeat(24)} 100/100  50.0 steps/s`,
      `\u001b[Ksaved\ntrain ${'█'.repeat(24)} 100/100  50.0 steps/s\n`,
    ]);
  });

  it('writes nothing but messages when quiet', () => {
    for (const isTTY of [true, false]) {
      const { out, progress } = start({ quiet: true, isTTY });
      progress.update(50);
      progress.log('a warning');
      progress.finish();
      expect(out.text).toBe('a warning\n');
    }
  });

  it('counts the speed from where the work was resumed', () => {
    const { out, progress } = start({ start: 90 });
    out.time = 4000;
    progress.update(92);
    expect(out.text).toBe('train 92/100  2.00 s/step  16s left\n');
  });

  it('forgets the speed of long ago', () => {
    const { out, progress } = start({ total: 1000 });
    for (let second = 1; second <= 100; second++) {
      out.time = second * 1000;
      progress.update(second <= 50 ? second : 50 + (second - 50) * 10);
    }
    progress.finish();
    expect(out.text).toMatch(/550\/1000 {2}10\.0 steps\/s {2}45s left\n$/);
  });
});

it('takes a terminal that reports no width for one of 80 columns', () => {
  const { out, progress } = start({ isTTY: true, columns: 0, label: 'x'.repeat(100) });
  progress.update(1);
  progress.log('note');
  // Both times the line is drawn, it takes all but the last column.
  const lines = out.text.split('\r\u001b[K');
  expect(lines).toEqual(['', 'x'.repeat(79), `note\n${'x'.repeat(79)}`]);
});

describe('lines', () => {
  const state = { label: 'x', done: 1, total: 4, unit: 'step', speed: undefined, fields: { loss: '1' } };

  it('show the share done as a bar, cut to the width', () => {
    expect(terminalLine(state, 80)).toBe(`x ${'█'.repeat(6)}${'░'.repeat(18)} 1/4  loss 1`);
    expect(terminalLine(state, 20)).toHaveLength(19);
  });

  it('say no speed that is not known', () => {
    expect(plainLine(state)).toBe('x 1/4  loss 1');
  });
});

it.each([
  [0.25, '4.00 s/step'],
  [12.345, '12.3 steps/s'],
  [1234.5, '1235 steps/s'],
])('formatSpeed(%d) is %s', (speed, expected) => {
  expect(formatSpeed(speed, 'step')).toBe(expected);
});

it('formatSpeed gives symbols of units no plural', () => {
  expect(formatSpeed(12.345, 'MB')).toBe('12.3 MB/s');
  expect(formatSpeed(0.5, 'kB')).toBe('2.00 s/kB');
});
