import { describe, expect, it } from 'vitest';
import { didYouMean, editDistance, nearest } from './nearest.ts';

describe('nearest', () => {
  it.each([
    ['lables', ['labels', 'latents', 'cfg'], 'labels'],
    ['modle', ['noise', 'model'], 'model'],
    ['sched', ['seed', 'schedule', 'steps'], 'schedule'],
    ['STEPS', ['seed', 'steps'], 'steps'],
    ['cgf', ['fps', 'cfg'], 'cfg'],
    ['XXL', ['B', 'L', 'XL', 'H'], 'XL'],
  ])('to %j among %j is %j', (word, candidates, expected) => {
    expect(nearest(word, candidates)).toBe(expected);
  });

  it.each([
    ['quiet', ['out', 'json', 'device', 'seed']],
    ['dog', ['Bag', 'Sneaker', 'Coat']],
    ['q', ['quiet']],
    ['x', ['a', 'b']],
    ['', ['seed', 'a']],
    ['anything', []],
  ])('to %j among %j is none: nothing is near', (word, candidates) => {
    expect(nearest(word, candidates)).toBeUndefined();
    expect(didYouMean(word, candidates)).toBe('');
  });

  it('is offered as a clause', () => {
    expect(didYouMean('stepz', ['seed', 'steps'], (name) => `--${name}`)).toBe('; did you mean --steps?');
    expect(didYouMean('stepz', ['seed', 'steps'])).toBe('; did you mean steps?');
  });

  it('counts insertions, deletions, replacements and swaps of neighbours', () => {
    expect(editDistance('kitten', 'sitting')).toBe(3);
    expect(editDistance('', 'abc')).toBe(3);
    expect(editDistance('smaple', 'sample')).toBe(1);
    expect(editDistance('ca', 'abc')).toBe(3); // optimal string alignment: a swapped pair is not edited again
  });
});
