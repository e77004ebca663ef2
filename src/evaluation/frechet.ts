/**
 * @file The Fréchet distance of two Gaussians, |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2). On the features of the
 * FID network it is the FID (Heusel et al. 2017); on any others it is not, and must not be called so.
 */

import { ShapeError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import type { Gaussian } from './gaussian.ts';
import { traceOfProductRoot } from './product-root.ts';
import type { WorkOptions } from './products.ts';

/**
 * Squared Fréchet distance of two Gaussians, whose covariances may be singular.
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
  let distance = 0;
  for (let d = 0; d < dims; d++) {
    const difference = a.mean[d] - b.mean[d];
    distance += difference * difference + a.covariance[d * dims + d] + b.covariance[d * dims + d];
  }
  return distance - 2 * (await traceOfProductRoot(device, a.covariance, b.covariance, dims, options));
}
