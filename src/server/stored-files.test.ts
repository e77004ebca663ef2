import { expect, it } from 'vitest';
import { createFileStore } from './stored-files.ts';

const file = (size: number) => ({ bytes: new Uint8Array(size), type: 'image/png' });

it('keeps files for their lifetime, and as many as there is room for, the newest', () => {
  let time = 0;
  const store = createFileStore({ capacity: 10, lifetime: 1, now: () => time });
  const first = store.add(file(4));
  time = 500;
  const second = store.add(file(4));
  expect([store.get(first)?.bytes.length, store.get(second)?.bytes.length]).toEqual([4, 4]);
  const third = store.add(file(4));
  expect([first, second, third].map((name) => store.get(name) !== undefined)).toEqual([false, true, true]);
  time = 1499;
  expect(store.get(second)).toBeDefined();
  time = 1500;
  expect(store.get(second)).toBeUndefined();
  store.add(file(10));
  expect(store.get(third)).toBeUndefined();
});
