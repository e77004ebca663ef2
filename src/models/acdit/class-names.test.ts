import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../../errors.ts';
import { className, distinctNames, findClass, requireClass, requireClassNumber } from './class-names.ts';

/** Folders in the order in which `sorted(os.listdir())` and torchvision number them. */
const listOf = (...classNames: string[]) => ({ classes: classNames.length, classNames });
const label = (list: ReturnType<typeof listOf>, text: string) => findClass(list, text)?.label;

describe('findClass', () => {
  const numeric = listOf('1', '10', '2');
  const padded = listOf('001', '002', '003');
  const languages = listOf('C', 'C#', 'C++', 'F#');

  it('takes exact names before numbers, and says which was taken', () => {
    expect(['1', '10', '2', '0'].map((text) => label(numeric, text))).toEqual([0, 1, 2, 0]);
    expect(findClass(numeric, '1')?.note).toBe(
      "'1' is taken as the class named '1' (number 0), not as class number 1 ('10')",
    );
    expect(findClass(numeric, '2')).toEqual({ label: 2 }); // both readings are the same class
    expect(findClass(numeric, '10')).toEqual({ label: 1 }); // there is no class number 10
    expect(findClass(numeric, '0')).toEqual({ label: 0 });
    expect(() => findClass(numeric, '3')).toThrow('label 3 is outside 0 to 2');
  });

  it('takes names with leading zeros for names, and other numbers for numbers', () => {
    expect(['001', '002', '003'].map((text) => findClass(padded, text))).toEqual([
      { label: 0 },
      { label: 1 },
      { label: 2 },
    ]);
    expect(findClass(padded, '1')).toEqual({
      label: 1,
      note: "'1' is taken as class number 1 ('002'), not as the class named '001'",
    });
    expect(findClass(padded, '0')).toEqual({ label: 0 });
  });

  it('distinguishes names that differ in letter case or punctuation only', () => {
    expect(['A', 'a', 'B', 'b'].map((text) => label(listOf('A', 'B', 'a'), text))).toEqual([0, 2, 1, 1]);
    expect(['C', 'C#', 'C++', 'c#', 'c++', 'f'].map((text) => label(languages, text))).toEqual([
      0, 1, 2, 1, 2, 3,
    ]);
    expect(label(listOf('hot-dog', 'hot dog', 'hotdog'), 'Hot Dog')).toBe(1);
  });

  it('refuses what fits several names equally well, and lists them', () => {
    const text =
      "'c.' could be any of the classes 'C' (0), 'C#' (1), 'C++' (2); give the exact name or the number";
    expect(() => findClass(languages, 'c.')).toThrow(ArgumentError);
    expect(() => findClass(languages, 'c.')).toThrow(text);
    // ImageNet has two classes called crane.
    expect(() => findClass(listOf('crane', 'dog', 'crane'), 'crane')).toThrow(
      "'crane' could be any of the classes 'crane' (0), 'crane' (2); give the number",
    );
    expect(label(listOf('crane', 'dog', 'crane'), '2')).toBe(2);
  });

  it('takes simplified names where only one fits, but never a number with other punctuation', () => {
    expect(label(listOf('T-shirt/top', 'Ankle boot'), 'tshirt TOP')).toBe(0);
    const numbers = listOf('1', '15', '1e1');
    expect(['1.5', '1e1', '15.0', '0x1'].map((text) => label(numbers, text))).toEqual([
      undefined,
      2,
      undefined,
      undefined,
    ]);
    for (const text of ['-1', '+15']) expect(() => findClass(numbers, text)).toThrow('is outside 0 to 2');
    expect(label(listOf('+', '-'), '-')).toBe(1);
  });

  it('takes composed and decomposed letters for the same, but not other letters', () => {
    const decomposed = listOf('u\u0308 e\u0301', 'u e'); // as macOS may name folders
    expect(['\u00fc \u00e9', '\u00dc \u00c9', 'u e'].map((text) => label(decomposed, text))).toEqual([
      0, 0, 1,
    ]);
    expect(label(listOf('日本', '中国'), '日本')).toBe(0);
    expect(label(listOf('🐱', '🐶'), '🐶')).toBe(1);
  });

  it('has two words for no class, as a class may be called none', () => {
    expect(['none', 'None', 'no class'].map((text) => label(numeric, text))).toEqual([3, 3, 3]);
    const withNone = listOf('cat', 'none');
    expect(findClass(withNone, 'none')).toEqual({
      label: 1,
      note: "'none' is taken as the class named 'none' (number 1); write 'no class' for no class",
    });
    expect(label(withNone, 'no class')).toBe(2);
    expect([0, 1, 2].map((value) => className(withNone, value))).toEqual(['cat', 'none', 'no class']);
    expect(className(numeric, 3)).toBe('none');
  });

  it('takes numbers where classes have no names', () => {
    expect(findClass({ classes: 3 }, '2')).toEqual({ label: 2 });
    expect(findClass({ classes: 3 }, ' 2 ')).toEqual({ label: 2 });
    expect(findClass({ classes: 3 }, 'cat')).toBeUndefined();
    expect(className({ classes: 3 }, 2)).toBe('class 2');
  });
});

describe('requireClass', () => {
  it('offers a near name only; else it lists some', () => {
    const list = listOf('T-shirt/top', 'Sneaker', 'Bag');
    expect(() => requireClass(list, 'sneeker')).toThrow("unknown class 'sneeker'; did you mean 'Sneaker'?");
    expect(() => requireClass(list, 'dog')).toThrow(
      /^unknown class 'dog'; the classes are 'T-shirt\/top', 'Sneaker', 'Bag'$/,
    );
    const many = listOf(...Array.from({ length: 100 }, (_, i) => `name ${i}`));
    expect(() => requireClass(many, 'dog')).toThrow("'name 11', and 88 more");
    expect(() => requireClass({ classes: 3 }, 'dog')).toThrow('give numbers from 0 to 2');
    expect(() => requireClass(list, 'a\u001b[31m\nb')).toThrow("unknown class 'a?[31m b'");
  });
});

describe('requireClassNumber', () => {
  it('takes a number for the number of a class, even if classes are named by numbers', () => {
    expect(requireClassNumber(listOf('1', '10', '2'), 1)).toBe(1);
    expect(requireClassNumber(listOf('1', '10', '2'), -0)).toBe(0);
    for (const wrong of [3, -1, 1.5, Number.NaN]) {
      expect(() => requireClassNumber(listOf('1', '10', '2'), wrong)).toThrow('outside 0 to 2');
    }
  });
});

describe('distinctNames', () => {
  it('numbers names that several classes have', () => {
    expect(distinctNames(['crane', 'dog', 'crane'])).toEqual(['crane (0)', 'dog', 'crane (2)']);
    expect(distinctNames(['a', 'A', 'b'])).toEqual(['a', 'A', 'b']);
  });
});
