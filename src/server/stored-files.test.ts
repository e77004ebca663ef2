import { expect, it } from 'vitest';
import { createFileStore } from './stored-files.ts';

const file = (size: number) => ({ bytes: new Uint8Array(size), type: 'image/png' });

it('keeps files for their lifetime, and as many as there is room for, the newest', async () => {
  let time = 0;
  const store = createFileStore({ capacity: 10, lifetime: 1, now: () => time });
  const kept = async (...names: string[]) =>
    (await Promise.all(names.map(store.get))).map((found) => found?.bytes.length);
  const first = await store.add(file(4));
  time = 500;
  const second = await store.add(file(4));
  expect(await kept(first, second)).toEqual([4, 4]);
  const third = await store.add(file(4));
  expect(await kept(first, second, third)).toEqual([undefined, 4, 4]);
  time = 1499;
  expect(await kept(second)).toEqual([4]);
  time = 1500;
  expect(await kept(second)).toEqual([undefined]);
  await store.add(file(10));
  expect(await kept(third)).toEqual([undefined]);
});
