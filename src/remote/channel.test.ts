import { describe, expect, it } from 'vitest';
import { createChannel, streamOf } from './channel.ts';

describe('a channel', () => {
  it('gives what was pushed before and while it is read, then its result', async () => {
    const channel = createChannel<number, string>();
    void channel.push(1);
    void channel.push(2);
    const reader = channel[Symbol.asyncIterator]();
    expect([await reader.next(), await reader.next()]).toMatchObject([{ value: 1 }, { value: 2 }]);
    const third = reader.next();
    void channel.push(3);
    channel.end('all');
    await channel.push(4); // is dropped
    expect(await third).toEqual({ value: 3, done: false });
    expect(await reader.next()).toEqual({ value: 'all', done: true });
  });

  it('throws its error after the values', async () => {
    const channel = createChannel<number>();
    void channel.push(1);
    channel.fail(new Error('broken'));
    const reader = channel[Symbol.asyncIterator]();
    expect((await reader.next()).value).toBe(1);
    await expect(reader.next()).rejects.toThrow('broken');
  });

  it('lets a writer wait until its value was read, or will not be', async () => {
    const channel = createChannel<number>();
    const taken: number[] = [];
    for (const value of [1, 2, 3]) void channel.push(value).then(() => taken.push(value));
    const reader = channel[Symbol.asyncIterator]();
    await reader.next();
    expect(taken).toEqual([]);
    await reader.next();
    expect(taken).toEqual([1]);
    await reader.return();
    await channel.push(4);
    expect(taken).toEqual([1, 2, 3]);
  });
});

describe('a stream of work that reports by callback', () => {
  it('gives the reports, then the result or the error', async () => {
    const stream = streamOf<string, number>(async (push) => {
      void push('a');
      await push('b');
      return 2;
    });
    expect(await stream.next()).toEqual({ value: 'a', done: false });
    expect(await stream.next()).toEqual({ value: 'b', done: false });
    expect(await stream.next()).toEqual({ value: 2, done: true });
    const failing = streamOf<string, number>(async () => {
      throw new Error('broken');
    });
    await expect(failing.next()).rejects.toThrow('broken');
  });
});
