import { describe, expect, it } from 'vitest';
import { classChange, movedClass, sameClasses } from './class-names.ts';

describe('classChange', () => {
  it.each([
    [['a', 'b'], ['a', 'b'], undefined],
    [['a', 'b'], ['a', 'b', 'c'], "2 classes then, 3 now ('c' is new)"],
    [['a', 'b', 'c'], ['b', 'x'], "3 classes then, 2 now ('x' is new, 'a' is gone, 'c' is gone)"],
    [['a'], ['a', 'a'], '1 class then, 2 now'],
    [
      ['cat', 'dog'],
      ['dog', 'zebra'],
      "class 0 was 'cat' and is now 'dog', class 1 was 'dog' and is now 'zebra'",
    ],
    [
      ['1', '2', '3', '4', '5'],
      ['5', '4', '3', '2', '1'],
      "class 0 was '1' and is now '5', class 1 was '2' and is now '4', class 3 was '4' and is now '2', and 1 more",
    ],
  ])('from %j to %j is %j', (then, now, change) => {
    expect(classChange(then, now)).toBe(change);
  });
});

describe('sameClasses', () => {
  it('compares names one by one, not their join', () => {
    expect(sameClasses(['a,b', 'c'], ['a,b', 'c'])).toBe(true);
    expect(sameClasses(['a,b', 'c'], ['a', 'b,c'])).toBe(false);
    expect(sameClasses(['a'], ['a', 'b'])).toBe(false);
    expect(sameClasses(undefined, ['a'])).toBe(false);
    expect(sameClasses(['a'], undefined)).toBe(false);
    expect(sameClasses(undefined, undefined)).toBe(true);
  });
});

describe('movedClass', () => {
  it('is a name that has another label in the other list', () => {
    expect(movedClass(['cat', 'dog'], ['ant', 'cat'])).toEqual({ name: 'cat', labels: [0, 1] });
    expect(movedClass(['cat', 'dog'], ['cat', 'zebra'])).toBeUndefined();
    expect(movedClass(['cat', 'dog'], ['bag', 'shirt'])).toBeUndefined();
    expect(movedClass(['crane', 'dog', 'crane'], ['crane', 'dog', 'crane'])).toBeUndefined();
  });
});
