import { describe, expect, it } from 'vitest';
import { paperConfig } from '../models/acdit/config.ts';
import { labelName, parseLabels, writtenLabel } from './labels.ts';

const config = {
  ...paperConfig('B', 'image'),
  classes: 4,
  classNames: ['T-shirt/top', 'Ankle boot', '7', '+'],
  blocks: 2,
};

const labelsOf = (...args: Parameters<typeof parseLabels>) => parseLabels(...args).labels;

describe('parseLabels', () => {
  it('takes numbers and names, ignoring case and punctuation', () => {
    expect(parseLabels(config, '3, 0,tshirt-TOP,ankleboot,+,none')).toEqual({
      labels: [3, 0, 0, 1, 3, 4],
      notes: [],
    });
  });

  it('prefers a name with a slash to labels by block', () => {
    expect(labelsOf(config, 't-shirt/top,1/ankle boot,none/0')).toEqual([0, [1, 1], [4, 0]]);
  });

  it('takes names with commas, slashes and quotes in double quotes, and a whole name without', () => {
    const named = (...classNames: string[]) => ({ ...config, classes: classNames.length, classNames });
    const fish = named('tench, Tinca tinca', 'goldfish', 'a/b', '5" pipe', '"so"');
    expect(labelsOf(fish, '"tench, Tinca tinca",goldfish')).toEqual([0, 1]);
    expect(labelsOf(fish, ' "Tench, tinca tinca" , "a/b"/"tench, Tinca tinca" ')).toEqual([0, [2, 0]]);
    expect(labelsOf(fish, 'tench, Tinca tinca')).toEqual([0]);
    expect(labelsOf(fish, '5" pipe,"5"" pipe","""so"""')).toEqual([3, 3, 4]);
    expect(() => labelsOf(fish, 'goldfish,tench, Tinca tinca')).toThrow(
      `did you mean 'tench, Tinca tinca'? (a name with a comma goes in double quotes: --labels '"tench, Tinca tinca"')`,
    );
    expect(() => labelsOf(fish, '"goldfish,7')).toThrow('a double quote is not closed');
    expect(() => labelsOf(fish, '"goldfish"7')).toThrow('a double quote is not closed');
    expect(() => labelsOf(fish, 'goldfish,,7')).toThrow('has an empty part');
  });

  it('refuses what names one class and several, and says how to write each', () => {
    const both = { ...config, classes: 4, classNames: ['a', 'b', 'a,b', 'b/a'] };
    expect(() => labelsOf(both, 'a,b')).toThrow(`write '"a,b"' for one, or '"a","b"' for several`);
    expect(labelsOf(both, '"a,b"')).toEqual([2]);
    expect(labelsOf(both, '"a","b"')).toEqual([0, 1]);
    expect(() => labelsOf(both, 'b/a')).toThrow(`write '"b/a"' for one, or '"b"/"a"' for several`);
    expect([labelsOf(both, '"b/a"'), labelsOf(both, '"b"/"a"')]).toEqual([[3], [[1, 0]]]);
    expect(labelsOf(both, 'b/a', 3)).toEqual([3]); // with three blocks it can be one class only
  });

  it('never reads labels by block as a name without a slash', () => {
    const numbers = { ...config, classes: 12, classNames: [...Array(12).keys()].map(String).sort() };
    expect(numbers.classNames[3]).toBe('11');
    expect(labelsOf(numbers, '1/1')).toEqual([[1, 1]]);
  });

  it('notes once which class was taken where there are two', () => {
    const numbers = { ...config, classes: 3, classNames: ['1', '10', '2'] };
    expect(parseLabels(numbers, '1,1/2,1')).toEqual({
      labels: [0, [0, 2], 0],
      notes: ["'1' is taken as the class named '1' (number 0), not as class number 1 ('10')"],
    });
  });

  it('refuses what is not a class', () => {
    expect(() => parseLabels(config, '4')).toThrow('label 4 is outside 0 to 3');
    expect(() => parseLabels(config, 'ankle boat')).toThrow("did you mean 'Ankle boot'?");
    expect(() => parseLabels(config, '0/1/2')).toThrow('has 3 values');
    expect(() => parseLabels(config, '0/x')).toThrow("unknown class 'x'");
  });
});

describe('writtenLabel', () => {
  it('is what the list reads back', () => {
    const classNames = ['a', 'a, b', '"so"', '5" pipe', ' c ', 'd/e'];
    const named = { ...config, classes: classNames.length, classNames };
    expect(classNames.map(writtenLabel).join(',')).toBe('a,"a, b","""so""",5" pipe," c ",d/e');
    expect(labelsOf(named, classNames.map(writtenLabel).join(','))).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe('labelName', () => {
  it('names classes, none, and labels by block', () => {
    expect(labelName(config, 1)).toBe('Ankle boot');
    expect(labelName(config, [4, 0])).toBe('none / T-shirt/top');
    expect(labelName(paperConfig('B', 'image'), 207)).toBe('class 207');
  });
});
