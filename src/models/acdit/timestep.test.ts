import { describe, expect, it } from 'vitest';
import { timestepFeatures } from './transformer.ts';

describe('timestep features', () => {
  it('are 128 cosines, then 128 sines, with wavelengths from 2π to almost 2π x 10000', () => {
    const { shape, data } = timestepFeatures([0, 500, 999]);
    expect(shape).toEqual([3, 256]);
    expect([...data.slice(0, 256)]).toEqual([...Array(128).fill(1), ...Array(128).fill(0)]);
    for (const [k, timestep] of [0, 500, 999].entries()) {
      for (let i = 0; i < 128; i++) {
        // float32 frequencies and angles, so an error of up to 999 x 2^-23.
        const angle = timestep / 10000 ** (i / 128);
        expect(data[k * 256 + i]).toBeCloseTo(Math.cos(angle), 3);
        expect(data[k * 256 + 128 + i]).toBeCloseTo(Math.sin(angle), 3);
      }
    }
  });

  it('are computed from angles in float32, as in PyTorch', () => {
    // cos(float32(999 x float32(10000^(-1/128)))): float32 neighbours of the angle differ in the fifth digit.
    const frequency = Math.fround(10000 ** (-1 / 128));
    const [, cosine] = timestepFeatures([999]).data;
    expect(cosine).toBe(Math.fround(Math.cos(Math.fround(999 * frequency))));
  });
});
