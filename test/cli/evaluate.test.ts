import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Metrics } from '../../src/evaluation/evaluate.ts';
import { encodeNpy } from '../../src/formats/npy.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { encodeZip } from '../../src/formats/zip.ts';
import { openFile } from '../../src/io/file-source.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { lastLine, runInProcess } from '../support/cli.ts';
import { golden } from '../support/golden.ts';
import { npyText } from '../support/npy-text.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Arrays = Record<string, Tensor>;

const npz = await openNpz(await openFile(golden('metrics.npz')));
const [reference, sample, logits] = await Promise.all(
  ['reference', 'sample', 'logits'].map((name) => npz.read(`small.${name}`)),
);
const number = async (name: string) => Number((await npz.read(`small.${name}`)).data[0]);

/** An npz file of arrays, and of the text `network`. */
async function file(arrays: Arrays, network?: string, compress = false): Promise<string> {
  const path = join(temporaryFolder(), 'set.npz');
  const members = Object.entries(arrays).map(([name, value]): [string, Uint8Array] => [
    `${name}.npy`,
    encodeNpy(value),
  ]);
  if (network !== undefined) members.push(['network.npy', npyText(network)]);
  await writeFile(path, await encodeZip(members, compress));
  return path;
}

async function metricsOf(args: readonly string[]): Promise<Metrics> {
  const { code, stdout, stderr } = await runInProcess(['evaluate', ...args, '--json']);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

const gaussian = (dims: number, variance = 1): Arrays => ({
  mu: tensor('float64', [dims], new Float64Array(dims)),
  sigma: tensor(
    'float64',
    [dims, dims],
    Float64Array.from({ length: dims * dims }, (_, i) => (i % (dims + 1) === 0 ? variance : 0)),
  ),
});

describe('acdit evaluate', () => {
  it('prints all metrics of features and logits as JSON, with all digits', async () => {
    const metrics = await metricsOf([
      await file({ features: reference }),
      await file({ features: sample, logits }, undefined, true),
      '--kid-subsets=0',
      '--is-chunk=100',
    ]);
    const { frechetDistance, density, coverage, ...others } = metrics;
    expect(Math.abs(frechetDistance! - (await number('fid')))).toBeLessThan(1e-6);
    expect(Object.keys(others).sort()).toEqual(['inceptionScore', 'kid', 'precision', 'recall']);
    for (const [key, name] of Object.entries({
      inceptionScore: 'inception_score',
      kid: 'kid',
      recall: 'recall',
    })) {
      expect(Math.abs(others[key as 'kid']! - (await number(name)))).toBeLessThan(1e-6);
    }
    expect(density).toBeGreaterThan(0);
    expect(coverage).toBeGreaterThan(0);
  });

  it('calls the distance FID only where both files say that the network is that of the FID', async () => {
    const fid = 'inception-2015-12-05';
    const flags = ['--kid-subsets=0'];
    const [named, unnamed] = [await file({ features: reference }, fid), await file({ features: sample })];
    const both = await runInProcess(['evaluate', named, await file({ features: sample }, fid), ...flags]);
    expect(both.stdout).toMatch(/^FID +1\.86932\n/);
    const one = await runInProcess(['evaluate', named, unnamed, ...flags]);
    expect(one.stdout).toMatch(/^Fréchet distance +1\.86932\n/);
    expect(one.stderr).toContain('is not called FID');
    const other = await runInProcess(['evaluate', named, await file({ features: sample }, 'dinov2')]);
    expect(other).toMatchObject({ code: 2, stdout: '' });
    expect(lastLine(other.stderr)).toContain("of the network 'dinov2'");
  });

  it('takes stored statistics, also beside features', async () => {
    const stored = await file(gaussian(16, 4));
    expect(await metricsOf([stored, await file(gaussian(16))])).toEqual({ frechetDistance: 16 });
    const features = await file({ ...gaussian(16), features: sample });
    expect(await metricsOf([stored, features])).toEqual({ frechetDistance: 16 });
  });

  it('computes the sFID of stored spatial statistics', async () => {
    const spatial = (variance: number): Arrays => {
      const { mu, sigma } = gaussian(3, variance);
      return { ...gaussian(2), mu_s: mu, sigma_s: sigma };
    };
    const paths = [1, 4].map((variance) => file(spatial(variance), 'inception-2015-12-05'));
    expect(await metricsOf(await Promise.all(paths))).toEqual({ fid: 0, sfid: 3 });
  });

  it('warns of few samples, with their number', async () => {
    const few = (rows: number): Promise<string> =>
      file({ features: float32([rows, 16], sample.data.slice(0, rows * 16) as Float32Array) });
    const { code, stderr, stdout } = await runInProcess(['evaluate', await few(9), await few(4)]);
    expect(code).toBe(0);
    expect(stderr).toContain('9 samples are few for a Fréchet distance in 16 dimensions');
    expect(stderr).toContain('need more than 5 samples of each set, got 4');
    expect(stderr).toContain('all 4 samples of the smaller set, not 1000');
    expect(stdout).not.toContain('precision');
    const one = await runInProcess(['evaluate', await few(1), await few(1)]);
    expect(one.code).toBe(2);
    expect(lastLine(one.stderr)).toContain('too few samples for any metric');
  });

  it('leaves out density and coverage with the rounding of ADM', async () => {
    const args = [await file({ features: reference }), await file({ features: sample }), '--kid-subsets=0'];
    expect(Object.keys(await metricsOf([...args, '--float16'])).sort()).toEqual([
      'frechetDistance',
      'kid',
      'precision',
      'recall',
    ]);
  });

  it('stops when interrupted', async () => {
    const args = ['evaluate', await file({ features: reference }), await file({ features: sample })];
    expect((await runInProcess(args, AbortSignal.abort(new Error('interrupted')))).code).toBe(2 ** 7 + 2);
  });

  it('refuses bad input in one line', async () => {
    const good = await file({ features: reference });
    const withNaN = float32([2, 16], new Float32Array(32).fill(Number.NaN, 17));
    const asymmetric = gaussian(2);
    asymmetric.sigma.data[1] = 1;
    const cases: [string[], string][] = [
      [[good], 'needs REFERENCE and SAMPLES'],
      [[good, 'missing.npz'], 'missing.npz: there is no such file'],
      [[good, await file({ logits })], "no 'features' (N, D)"],
      [[good, await file({ features: tensor('int32', [2, 2], new Int32Array(4)) })], 'float64, got int32'],
      [[good, await file({ features: float32([4], [1, 2, 3, 4]) })], 'must have shape [N, D]'],
      [[good, await file({ features: withNaN })], 'must be finite, got NaN in row 1'],
      [[good, await file({ features: float32([2, 1], [1, 2]) })], 'have 1 dimensions, those of'],
      [[good, await file({ features: reference, logits })], "'logits' of 150"],
      [[good, await file({ mu: gaussian(2).mu })], "holds no array 'sigma'"],
      [[good, await file({ ...gaussian(2), sigma: gaussian(3).sigma })], 'must have shapes [D] and [D, D]'],
      [[good, await file(asymmetric)], 'is not a covariance'],
      [[good, good, '--kid-subsets=-1'], '--kid-subsets must be'],
    ];
    for (const [args, message] of cases) {
      const { code, stdout, stderr } = await runInProcess(['evaluate', ...args]);
      expect({ code, stdout, lines: stderr.trimEnd().split('\n').length }, message).toEqual({
        code: 2,
        stdout: '',
        lines: 1,
      });
      expect(stderr).toContain(message);
    }
  });
});
