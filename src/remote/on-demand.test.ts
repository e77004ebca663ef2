import { describe, expect, it } from 'vitest';
import { onDemand } from './on-demand.ts';

function mortal() {
  return {
    alive: true,
    async dispose() {
      this.alive = false;
    },
  };
}

describe('what is opened on demand', () => {
  it('is opened once, and again after it has ended', async () => {
    let opened = 0;
    const source = onDemand(async () => ({ ...mortal(), number: ++opened }));
    expect(opened).toBe(0);
    const [first, second] = await Promise.all([source.get(), source.get()]);
    expect([first.number, second]).toEqual([1, first]);
    first.alive = false;
    expect((await source.get()).number).toBe(2);
  });

  it('is opened again after it could not be opened', async () => {
    let tries = 0;
    const source = onDemand(() => {
      if (tries++ === 0) throw new Error('not yet');
      return mortal();
    });
    await expect(source.get()).rejects.toThrow('not yet');
    expect((await source.get()).alive).toBe(true);
  });

  it('is disposed of if it is open, also when it is just being opened', async () => {
    const source = onDemand(async () => mortal());
    await source.dispose();
    const opening = source.get();
    await source.dispose();
    expect((await opening).alive).toBe(false);
  });
});
