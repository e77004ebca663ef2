import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Generator } from '../tensor/generator.ts';
import { randomPath, reflect } from './moving-items.ts';

describe('reflect', () => {
  it.each([
    [0, 4, 0],
    [3, 4, 3],
    [4, 4, 4],
    [5, 4, 3],
    [8, 4, 0],
    [9, 4, 1],
    [-1, 4, 1],
    [-5, 4, 3],
    [7, 0, 0],
  ])('turns %d in a room of %d into %d', (distance, room, place) => {
    expect(reflect(distance, room)).toBe(place);
  });
});

describe('a random path', () => {
  const room = fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 40 }));
  const speeds = fc
    .tuple(fc.double({ min: 0, max: 50, noNaN: true }), fc.double({ min: 0, max: 50, noNaN: true }))
    .map(([a, b]): [number, number] => [Math.min(a, b), Math.max(a, b)]);

  it('stays inside, in whole pixels, and moves no faster than it may', () => {
    fc.assert(
      fc.property(room, speeds, fc.nat(), (walls, speed, seed) => {
        const path = randomPath(20, walls, speed, new Generator(seed));
        expect(path).toHaveLength(20);
        path.forEach((place, t) => {
          for (const axis of [0, 1]) {
            expect(Number.isInteger(place[axis])).toBe(true);
            expect(place[axis]).toBeGreaterThanOrEqual(0);
            expect(place[axis]).toBeLessThanOrEqual(walls[axis]);
            if (t > 0) expect(Math.abs(place[axis] - path[t - 1][axis])).toBeLessThanOrEqual(speed[1] + 1);
          }
        });
      }),
    );
  });

  it('goes straight on at a constant speed until it hits a wall', () => {
    let straight = 0;
    for (let seed = 0; seed < 200; seed++) {
      const path = randomPath(6, [1000, 1000], [10, 10], new Generator(seed));
      const lengths = path.slice(1).map(([y, x], t) => Math.hypot(y - path[t][0], x - path[t][1]));
      const [first, last] = [path[0], path[5]];
      if (Math.hypot(last[0] - first[0], last[1] - first[1]) > 49) straight++;
      for (const length of lengths) expect(length).toBeLessThan(10 + Math.SQRT2);
    }
    expect(straight).toBeGreaterThan(150); // the others met a wall
  });

  it('starts anywhere and goes in any direction', () => {
    const quadrants = new Set<string>();
    for (let seed = 0; seed < 300; seed++) {
      const [start, next] = randomPath(2, [100, 100], [20, 20], new Generator(seed));
      const corner = `${start[0] > 50} ${start[1] > 50}`;
      if (Math.min(...start) > 20 && Math.max(...start) < 80) {
        quadrants.add(`${corner} ${next[0] > start[0]} ${next[1] > start[1]}`);
      }
    }
    expect(quadrants.size).toBe(16);
  });
});
