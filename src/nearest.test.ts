import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('nearest', () => {
  it.each([
    ['lables', ['labels', 'latents', 'cfg'], 'labels'],
    ['sched', ['seed', 'schedule', 'steps'], 'schedule'],
    ['STEPS', ['seed', 'steps'], 'steps'],
    ['', ['seed', 'a'], 'a'],
  ])('to %j among %j is %j', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected);
  });

  it('counts insertions, deletions and replacements', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
  });
});
