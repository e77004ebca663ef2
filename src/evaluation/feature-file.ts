/** @file Features in a file, so that they need not be computed again. */

import { dirname } from 'node:path';
import { encodeNpy, encodeNpyText } from '../formats/npy.ts';
import { type StoredFile, writeStoredZip } from '../formats/zip-writer.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { EvaluationSet } from './evaluation-set.ts';
import type { Gaussian } from './gaussian.ts';

/** Of arrays in the file, so that they can be mapped into memory. */
const ALIGNMENT = 64;

/**
 * Write a set as an `.npz` file, as `readEvaluationSet` reads it.
 * @throws {AcditError} if it cannot be written, as on a full disk.
 */
export async function writeFeatures(path: string, set: EvaluationSet): Promise<void> {
  const { features, logits, network, gaussian, spatial, protocol } = set;
  const arrays: Record<string, Tensor | undefined> = {
    features,
    logits,
    ...gaussianArrays(gaussian, 'mu', 'sigma'),
    ...gaussianArrays(spatial, 'mu_s', 'sigma_s'),
  };
  const files = Object.entries(arrays).flatMap(([name, value]): StoredFile[] =>
    value ? [{ name: `${name}.npy`, read: async () => encodeNpy(value) }] : [],
  );
  const texts = { network, protocol: protocol && JSON.stringify(protocol) };
  for (const [name, text] of Object.entries(texts)) {
    if (text !== undefined) files.push({ name: `${name}.npy`, read: async () => encodeNpyText(text) });
  }
  await makeFolders(dirname(path));
  await writeFileAtomically(path, (write) => writeStoredZip(write, files, ALIGNMENT));
}

function gaussianArrays(
  gaussian: Gaussian | undefined,
  mean: string,
  covariance: string,
): Record<string, Tensor> {
  if (!gaussian) return {};
  const dims = gaussian.mean.length;
  return {
    [mean]: tensor('float64', [dims], gaussian.mean),
    [covariance]: tensor('float64', [dims, dims], gaussian.covariance),
  };
}
