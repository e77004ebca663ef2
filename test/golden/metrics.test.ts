import { afterAll, describe, expect, it } from 'vitest';
import {
  choleskyFactor,
  frechetDistance,
  nuclearNormByPolar,
  nuclearNormBySingularValues,
  productOfFactors,
  traceByEigenvalues,
} from '../../src/evaluation/frechet.ts';
import { gaussianOf } from '../../src/evaluation/gaussian.ts';
import { kernelDistance } from '../../src/evaluation/kernel-distance.ts';
import { inceptionScore } from '../../src/evaluation/logit-scores.ts';
import { compareManifolds } from '../../src/evaluation/manifolds.ts';
import type { Features } from '../../src/evaluation/products.ts';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { golden } from '../support/golden.ts';

const device = openCpu({ threads: 1 });
const npz = await openNpz(await openFile(golden('metrics.npz')));
afterAll(async () => {
  await npz.close();
  await device.dispose();
});

const TOLERANCE = 1e-6;

describe.each(['small', 'rank', 'wide'])('metrics of the ADM evaluator, %s', async (set) => {
  const array = async (name: string) => (await npz.read(`${set}.${name}`)) as Features;
  const number = async (name: string) => Number((await npz.read(`${set}.${name}`)).data[0]);
  const [reference, sample, logits] = [
    await array('reference'),
    await array('sample'),
    await array('logits'),
  ];

  it('has the Fréchet distance', async () => {
    const [a, b] = [await gaussianOf(device, reference), await gaussianOf(device, sample)];
    const distance = await frechetDistance(device, a, b);
    expect(Math.abs(distance - (await number('fid')))).toBeLessThan(TOLERANCE);
  });

  it('has the same root by the ways that large covariances take', async () => {
    const [a, b] = [await gaussianOf(device, reference), await gaussianOf(device, sample)];
    const dims = a.mean.length;
    const expected = traceByEigenvalues(a.covariance, b.covariance, dims);
    const factors = [a, b].map(({ covariance }) => choleskyFactor(covariance, dims));
    const product = await productOfFactors(device, factors[0], factors[1]);
    for (const sum of [await nuclearNormByPolar(device, product), nuclearNormBySingularValues(product)]) {
      expect(Math.abs(sum / expected - 1)).toBeLessThan(TOLERANCE / 10);
    }
  });

  it('has the Inception Score', async () => {
    const split = Number((await npz.read('inception_score_split')).data[0]);
    expect(Math.abs(inceptionScore(logits, split) - (await number('inception_score')))).toBeLessThan(
      TOLERANCE,
    );
  });

  it.each([7, 2048])('has precision and recall, in tiles of %d rows', async (tileRows) => {
    const { precision, recall } = await compareManifolds(device, reference, sample, { tileRows });
    expect(Math.abs(precision - (await number('precision')))).toBeLessThan(TOLERANCE);
    expect(Math.abs(recall - (await number('recall')))).toBeLessThan(TOLERANCE);
  });

  it('has the kernel distance', async () => {
    const { mean } = await kernelDistance(device, reference, sample, { subsets: 0 });
    expect(Math.abs(mean - (await number('kid')))).toBeLessThan(TOLERANCE);
  });
});
