/**
 * @file What a file says of a set of samples: an `.npz` with `features` (N, D) and perhaps `logits` (N, classes), or with
 * stored statistics `mu` (D) and `sigma` (D, D), and perhaps those of spatial features, `mu_s` and `sigma_s`. A file may
 * have both: then the statistics are not computed from its features, as they may be those of more samples. The text
 * `network` says what the features are of, and the text `protocol` how samples were chosen and prepared.
 */

import { dirname } from 'node:path';
import { z } from 'zod';
import { float64At } from '../at.ts';
import type { IgnoredFiles } from '../data/folder-files.ts';
import { ArgumentError, FormatError } from '../errors.ts';
import { encodeNpy, encodeNpyText } from '../formats/npy.ts';
import type { Npz } from '../formats/npz.ts';
import { type StoredFile, writeStoredZip } from '../formats/zip-writer.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { printable } from '../io/printable.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { Gaussian } from './gaussian.ts';
import type { Features } from './products.ts';

/** What `network` is for the network of the FID: a Fréchet distance on its features may be called so. */
export const FID_NETWORK = 'inception-2015-12-05';

/** The same by how images are prepared for it: features of one way must not be compared with those of the other. */
export const FID_NETWORKS = { adm: FID_NETWORK, 'pytorch-fid': `${FID_NETWORK}/pytorch-fid` } as const;

/** What `network` is for the network of the FVD, as {@link FID_NETWORK} is for that of the FID. */
export const FVD_NETWORK = 'i3d-kinetics-400';

/** Dimensions of the pooled and of the spatial features in the ADM suite's reference files, which name no network. */
const ADM_DIMS = [2048, 2023] as const;

/** Names of the arrays of stored statistics. */
const ARRAYS = { gaussian: ['mu', 'sigma'], spatial: ['mu_s', 'sigma_s'] } as const;

/** What is known of a set of samples. */
export interface SampleFacts {
  /** What to call it in messages. */
  readonly name: string;
  /** What each sample was made to show, where that is known. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Why labels are missing, if they should be there. */
  readonly labelProblem?: string | undefined;
  /** Ignored files of its folder, to be reported once. */
  readonly ignoredFiles?: IgnoredFiles | undefined;
  /** How the samples were chosen and prepared, where the metrics depend on it, as those of videos do. */
  readonly protocol?: Protocol | undefined;
}

/** What metrics compare: features, logits or stored statistics of a set of samples. */
export interface EvaluationSet extends SampleFacts {
  /** The network that the features are of, if the file says so. */
  readonly network?: string | undefined;
  readonly features?: Features | undefined;
  readonly logits?: Features | undefined;
  /** What the logits are of, where samples' labels are of the same classes. */
  readonly classNames?: readonly string[] | undefined;
  /** Stored statistics. */
  readonly gaussian?: Gaussian | undefined;
  /** Stored statistics of spatial features. */
  readonly spatial?: Gaussian | undefined;
}

/** One of something for each of the two sets. */
export interface PerSet<T> {
  readonly reference: T;
  readonly samples: T;
}

/** Settings by their names. */
export type Protocol = Readonly<Record<string, string | number>>;

/**
 * Read a set, with features of float16 as float32.
 * @param name what to call it in messages.
 * @throws {FormatError} if it has neither features nor statistics, or they are of the wrong type or shape, or not finite.
 */
export async function readEvaluationSet(npz: Npz, name: string): Promise<EvaluationSet> {
  if (!npz.has('features') && !npz.has('mu')) throw new FormatError(missing(npz, name));
  const matrix = async (member: string): Promise<Features | undefined> =>
    npz.has(member) ? checkedRows(await npz.read(member), `${name}: '${member}'`) : undefined;
  const gaussian = await storedGaussian(npz, name, ARRAYS.gaussian);
  const spatial = await storedGaussian(npz, name, ARRAYS.spatial);
  const features = await matrix('features');
  const logits = await matrix('logits');
  if (features && logits && features.shape[0] !== logits.shape[0]) {
    throw new FormatError(
      `${name}: has 'features' of ${features.shape[0]} samples but 'logits' of ${logits.shape[0]}`,
    );
  }
  if (features && gaussian && features.shape[1] !== gaussian.mean.length) {
    throw new FormatError(
      `${name}: has 'features' of ${features.shape[1]} dimensions but 'mu' of ${gaussian.mean.length}`,
    );
  }
  const isAdm = gaussian?.mean.length === ADM_DIMS[0] && spatial?.mean.length === ADM_DIMS[1];
  const network = npz.has('network') ? await npz.readText('network') : isAdm ? FID_NETWORK : undefined;
  const protocol = npz.has('protocol')
    ? parseProtocol(await npz.readText('protocol'), `${name}: 'protocol'`)
    : undefined;
  return { name, network, features, logits, gaussian, spatial, protocol };
}

const protocolSchema = z.record(z.string(), z.union([z.string(), z.number()]));

function parseProtocol(text: string, where: string): Protocol {
  try {
    return protocolSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new FormatError(`${where} must be a JSON object of texts and numbers`, { cause });
  }
}

function missing(npz: Npz, name: string): string {
  const names = npz.names.slice(0, 5).map((name) => printable(name));
  return (
    `${name}: holds no images 'arr_0' (N, H, W, 3), no 'features' (N, D), and no 'mu' (D) and 'sigma' (D, D); ` +
    `it has ${names.join(', ') || 'no arrays'}`
  );
}

async function storedGaussian(
  npz: Npz,
  name: string,
  [meanName, covarianceName]: readonly [string, string],
): Promise<Gaussian | undefined> {
  if (!npz.has(meanName) && !npz.has(covarianceName)) return undefined;
  const mean = await npz.read(meanName);
  const covariance = await npz.read(covarianceName);
  const dims = mean.shape[0] ?? 0;
  const fits = mean.shape.length === 1 && dims > 0 && String(covariance.shape) === String([dims, dims]);
  if (!fits) {
    throw new FormatError(
      `${name}: '${meanName}' and '${covarianceName}' must have shapes [D] and [D, D], ` +
        `got [${mean.shape}] and [${covariance.shape}]`,
    );
  }
  const gaussian = {
    mean: Float64Array.from(checkedFloats(mean, `${name}: '${meanName}'`).data),
    covariance: Float64Array.from(checkedFloats(covariance, `${name}: '${covarianceName}'`).data),
  };
  if (!isCovariance(gaussian.covariance, dims)) {
    throw new FormatError(
      `${name}: '${covarianceName}' is not a covariance: it is not symmetric, or has negative variances`,
    );
  }
  return gaussian;
}

/** Differences from rounding to float32 are accepted. */
const ASYMMETRY = 1e-5;

function isCovariance(matrix: Float64Array, dims: number): boolean {
  const variance = (d: number): number => float64At(matrix, d * dims + d);
  for (let i = 0; i < dims; i++) {
    if (variance(i) < 0) return false;
    for (let j = 0; j < i; j++) {
      const difference = Math.abs(float64At(matrix, i * dims + j) - float64At(matrix, j * dims + i));
      if (difference > ASYMMETRY * Math.sqrt(variance(i) * variance(j))) return false;
    }
  }
  return true;
}

function checkedRows(value: Tensor, where: string): Features {
  const { shape } = value;
  if (shape.length !== 2 || shape.includes(0)) {
    throw new FormatError(`${where} must have shape [N, D], a row a sample, got [${shape}]`);
  }
  return checkedFloats(value, where);
}

function checkedFloats(value: Tensor, where: string): Features {
  const { dtype, shape } = value;
  if (dtype !== 'float16' && dtype !== 'float32' && dtype !== 'float64') {
    throw new FormatError(`${where} must be float16, float32 or float64, got ${dtype}`);
  }
  const floats = dtype === 'float64' ? (value as Tensor<'float64'>) : toFloat32(value);
  const bad = floats.data.findIndex((element) => !Number.isFinite(element));
  if (bad >= 0) {
    const row = Math.floor(bad / (shape.at(-1) || 1));
    throw new FormatError(`${where} must be finite, got ${floats.data[bad]} in row ${row}`);
  }
  return floats;
}

/** Alignment of arrays in the file, so that they can be mapped into memory. */
const ALIGNMENT = 64;

/**
 * Write a set as an `.npz` file, as {@link readEvaluationSet} reads it, so that its features need not be computed again.
 * @throws {AcditError} if it cannot be written, as on a full disk.
 */
export async function writeFeatures(path: string, set: EvaluationSet): Promise<void> {
  const { features, logits, network, gaussian, spatial, protocol } = set;
  const arrays: Record<string, Tensor | undefined> = {
    features,
    logits,
    ...gaussianArrays(gaussian, ARRAYS.gaussian),
    ...gaussianArrays(spatial, ARRAYS.spatial),
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
  [mean, covariance]: readonly [string, string],
): Record<string, Tensor> {
  if (!gaussian) return {};
  const dims = gaussian.mean.length;
  return {
    [mean]: tensor('float64', [dims], gaussian.mean),
    [covariance]: tensor('float64', [dims, dims], gaussian.covariance),
  };
}

/** Settings of a protocol that make features incomparable. */
const NETWORK_SETTINGS: Readonly<Record<string, string>> = {
  weights: 'weights, by their fingerprint,',
  batchNormEpsilon: "epsilon of the network's batch norms",
  resize: 'way of resizing frames',
};

/** The part of a set that records how its features were made. */
type Provenance = Pick<EvaluationSet, 'name' | 'network' | 'protocol'>;

/**
 * Checks that two sets' features are of one network, with the same weights and preprocessing, if the sets record them.
 * @throws {ArgumentError} naming what differs.
 */
export function requireSameNetwork(reference: Provenance, samples: Provenance): void {
  if (
    reference.network !== undefined &&
    samples.network !== undefined &&
    reference.network !== samples.network
  ) {
    throw new ArgumentError(
      `${samples.name}: its features are of the network '${samples.network}', but those of ${reference.name} are of ` +
        `'${reference.network}'; use the same network for both`,
    );
  }
  for (const [key, name] of Object.entries(NETWORK_SETTINGS)) {
    const [a, b] = [reference.protocol?.[key], samples.protocol?.[key]];
    if (a === undefined || b === undefined || a === b) continue;
    throw new ArgumentError(
      `${samples.name}: the ${name} of its features is ${printable(b)}, and of ${reference.name} ${printable(a)}; compute ` +
        'the features of both in the same way',
    );
  }
}
