/**
 * @file The Fréchet distance of two Gaussians, |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2). On the features of the
 * FID network it is the FID (Heusel et al. 2017); on any others it is not, and must not be called so.
 */

import { float64At } from '../at.ts';
import { ShapeError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import type { Gaussian } from './gaussian.ts';
import { traceOfProductRoot } from './product-root.ts';
import type { WorkOptions } from './products.ts';

/** Differences of means and covariances below this share of the variances are due to the order of summation. */
const SUMMATION_ERROR = 1e-12;

/**
 * Squared Fréchet distance of two Gaussians, whose covariances may be singular. It is exactly 0 if they are equal, and
 * never negative.
 * @throws {ShapeError} if they have different dimensions.
 */
export async function frechetDistance(
  device: Device,
  a: Gaussian,
  b: Gaussian,
  options: WorkOptions = {},
): Promise<number> {
  const dims = a.mean.length;
  if (b.mean.length !== dims) {
    throw new ShapeError(`frechetDistance: ${dims} dimensions do not fit ${b.mean.length}`);
  }
  let [means, variances] = [0, 0];
  for (let d = 0; d < dims; d++) {
    means += (float64At(a.mean, d) - float64At(b.mean, d)) ** 2;
    variances += float64At(a.covariance, d * dims + d) + float64At(b.covariance, d * dims + d);
  }
  // The trace of a root has an error of half the digits where the covariance is singular. The distance of covariances is
  // at most the nuclear norm of their difference (Powers and Størmer 1970), and this at most sqrt(D) times its norm.
  const most = means + Math.sqrt(dims) * distanceBetween(a.covariance, b.covariance);
  if (most <= SUMMATION_ERROR * variances) return 0;
  const trace = await traceOfProductRoot(device, a.covariance, b.covariance, dims, options);
  return Math.min(Math.max(means + variances - 2 * trace, 0), most);
}

function distanceBetween(a: Float64Array, b: Float64Array): number {
  return Math.sqrt(a.reduce((sum, value, i) => sum + (value - float64At(b, i)) ** 2, 0));
}
