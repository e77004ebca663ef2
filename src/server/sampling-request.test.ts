import { describe, expect, it } from 'vitest';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { ApiError } from '../errors.ts';
import { planRequest } from './sampling-request.ts';

const limits = { samples: 4, steps: 50, blocks: 16, strictSize: false };
const config = { ...tinyPixels, classNames: ['1', '10', '2, or two'] };
const plan = (...prompts: Parameters<typeof planRequest>[1][number][]) =>
  planRequest(config, prompts, {}, limits);
const labelsOf = (...prompts: Parameters<typeof plan>) => plan(...prompts).labels.map(([label]) => label);

describe('classes of a request', () => {
  it('takes a number for the number of a class, and a text for its name first', () => {
    expect(labelsOf(0, 1, 2)).toEqual([0, 1, 2]);
    expect(labelsOf('0', '1', '10', '2')).toEqual([0, 0, 1, 2]);
    expect(plan([0, '1', 1, 'none']).labels).toEqual([[0, 0, 1, 3]]);
  });

  it('takes a text for one name, even if it holds a comma or "or"', () => {
    expect(labelsOf('2, or two', '2 OR two')).toEqual([2, 2]);
  });

  it('notes which class was taken where a text could mean two', () => {
    const note = "'1' is taken as the class named '1' (number 0), not as class number 1 ('10')";
    expect(plan('1', '1').notes).toEqual([note]);
    expect(plan(['1', 1, '10', 'none']).notes).toEqual([note]);
    expect(plan(1, '10').notes).toEqual([]);
  });

  it('refuses numbers beyond the classes, which are never names', () => {
    for (const label of [3, 10, -1]) expect(() => plan(label)).toThrow(`label ${label} is outside 0 to 2`);
    expect(() => plan('10, 2')).toThrow(ApiError);
    expect(() => plan('10, 2')).toThrow("unknown class '10, 2'; the classes are '1', '10', '2, or two'");
  });

  it('looks at the names of classes a few times, however many texts there are', () => {
    let looks = 0;
    const names = Array.from({ length: 200 }, (_, i) => `class number ${i}`);
    const classNames = new Proxy(names, {
      get(target, key) {
        if (/^\d+$/.test(String(key))) looks++;
        return Reflect.get(target, key);
      },
    });
    const texts = names.slice(0, 100).map((name) => name.toUpperCase().replaceAll(' ', '-'));
    const many = { ...limits, samples: 100 };
    const { labels } = planRequest({ ...config, classes: 200, classNames }, texts, {}, many);
    expect(labels.map(([label]) => label)).toEqual([...Array(100).keys()]);
    expect(looks).toBeLessThan(10 * names.length);
  });
});
