import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { createMetrics } from '../src/server/metrics.ts';
import { createMemoryStore } from '../src/server/store.ts';

const urlOf = (name: string): URL => new URL(`../examples/deploy/${name}`, import.meta.url);
const read = (name: string): string => readFileSync(urlOf(name), 'utf8');

/** The names of the series that a server reports, with their types. */
async function series(): Promise<Map<string, string>> {
  const text = await createMetrics(() => [], createMemoryStore({ videos: 1 })).text();
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!] as const);
  return new Map(
    types.flatMap(([name, type]): [string, string][] =>
      type === 'histogram'
        ? ['_bucket', '_sum', '_count'].map((part) => [name + part, 'counter'])
        : [[name, type]],
    ),
  );
}

describe.each(['alerts.yaml', 'dashboard.json'])('%s', (name) => {
  it('uses metrics that servers report, and rates of counters only', async () => {
    const known = await series();
    const text = read(name);
    const used = new Set([...text.matchAll(/\b(?:acdit|process)_\w+/g)].map(([metric]) => metric));
    expect(used.size).toBeGreaterThan(5);
    expect([...used].filter((metric) => !known.has(metric))).toEqual([]);
    const counted = [...text.matchAll(/(?:rate|increase)\((\w+)/g)].map(([, metric]) => metric!);
    expect(counted.filter((metric) => known.get(metric) !== 'counter')).toEqual([]);
    expect(
      [...used].filter((metric) => known.get(metric) === 'counter' && !counted.includes(metric)),
    ).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('has panels that do not overlap, each with its queries', () => {
    const { panels } = JSON.parse(read('dashboard.json'));
    const cells = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) => `${x},${y}`);
    expect(new Set(cells).size).toBe(panels.length);
    for (const { title, targets } of panels) {
      expect(
        targets.every(({ expr }: { expr: string }) => expr.length > 0),
        title,
      ).toBe(true);
    }
  });
});

const hasPromtool = spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasPromtool && process.env.ACDIT_REQUIRE_PROMTOOL) throw new Error('promtool is not installed');

describe.runIf(hasPromtool)('promtool', () => {
  it('accepts the rules', () => {
    const { status, stdout } = spawnSync('promtool', ['check', 'rules', fileURLToPath(urlOf('alerts.yaml'))]);
    expect([status, stdout.toString()]).toEqual([0, expect.stringContaining('7 rules found')]);
  });

  it('accepts the metrics of a server', async () => {
    const input = await createMetrics(() => [], createMemoryStore({ videos: 1 })).text();
    const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input });
    expect([status, stderr.toString()]).toEqual([0, '']);
  });
});
