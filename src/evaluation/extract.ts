/** @file Features of many samples, batch by batch. */

import { setImmediate } from 'node:timers/promises';
import { deserialize, serialize } from 'node:v8';
import { at, take } from '../at.ts';
import { onEach } from '../distributed/agree.ts';
import { requireAlike } from '../distributed/alike.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { inOrder } from '../distributed/in-order.ts';
import { ArgumentError } from '../errors.ts';
import { type Channels, withChannels } from '../media/image.ts';
import type { Device } from '../runtime/device.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { elementCount, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { type EvaluationSet, requireSameNetwork } from './evaluation-set.ts';
import type { ExtractedFeatures, FeatureNetwork } from './feature-network.ts';
import { gaussianSums } from './gaussian.ts';
import type { SetContents } from './open-set.ts';
import type { WorkOptions } from './products.ts';
import type { SampleSource } from './sample-source.ts';

/** How features are computed. */
export interface ExtractOptions extends WorkOptions {
  /** Leave out the logits, of which a reference needs none. */
  readonly onlyFeatures?: boolean;
  /** The processes that compute features together, all with the same samples. The first one alone gets them. */
  readonly ranks?: Ranks | undefined;
}

/** Spatial features that are put by and added together. */
const SPATIAL_ROWS = 512;

/**
 * What a network says of all samples of a source. Memory holds a batch of samples, features and logits in float32, and
 * only the statistics of spatial features. With ranks, batch i is computed by rank i mod R.
 * @param options progress is the share of the samples.
 * @throws {FormatError} if a sample cannot be read; {ArgumentError} where features are not finite, or the network does
 * not take such samples.
 */
export async function extractFeatures(
  device: Device,
  network: FeatureNetwork,
  source: SampleSource,
  options: ExtractOptions = {},
): Promise<EvaluationSet> {
  const { onProgress, onlyFeatures = false, ranks } = options;
  requireKind(network, source);
  const [features, logits] = [rowCollector(source.count), rowCollector(source.count)];
  let spatial: Awaited<ReturnType<typeof gaussianSums>> | undefined;
  let done = 0;
  const add = async (extracted: ExtractedFeatures): Promise<void> => {
    requireFinite(extracted.features, source.name, done);
    features.add(extracted.features);
    if (extracted.logits && !onlyFeatures) logits.add(extracted.logits);
    if (extracted.spatial) {
      spatial ??= await gaussianSums(device, at(extracted.spatial.shape, 1), SPATIAL_ROWS);
      await spatial.add(extracted.spatial);
    }
    done += at(extracted.features.shape, 0);
    onProgress?.(done / source.count);
  };
  try {
    if (ranks) await extractOnRanks(network, source, ranks, add);
    else await extractAlone(network, source, options.signal, add);
    return {
      name: source.name,
      network: network.name,
      features: features.rows(),
      logits: logits.rows(),
      classNames: network.classNames,
      labels: source.labels,
      labelProblem: source.labelProblem,
      ignoredFiles: source.ignoredFiles,
      protocol: source.protocol || network.protocol ? { ...source.protocol, ...network.protocol } : undefined,
      spatial: done >= 2 ? await spatial?.finish() : undefined,
    };
  } finally {
    await spatial?.dispose();
  }
}

async function extractAlone(
  network: FeatureNetwork,
  source: SampleSource,
  signal: AbortSignal | undefined,
  add: (extracted: ExtractedFeatures) => Promise<void>,
): Promise<void> {
  for await (const batch of source.batches(network.batchSize)) {
    await setImmediate(); // let signals and progress through
    signal?.throwIfAborted();
    await add(await extractBatch(network, inChannels(batch, network.channels)));
  }
}

/** @param add is called on the first rank */
async function extractOnRanks(
  network: FeatureNetwork,
  { shared, name, count, shape }: SampleSource,
  ranks: Ranks,
  add: (extracted: ExtractedFeatures) => Promise<void>,
): Promise<void> {
  const { rank, size } = ranks.communicator;
  if (!shared) throw new ArgumentError(`${name}: cannot be read by several processes`);
  await requireAlike(ranks.communicator, {
    [`the set of samples ${name} (their number, size and fingerprint)`]: `${count} of ${shape.join(' x ')}, ${await onEach(ranks, () => shared.fingerprint())}`,
    'the network': JSON.stringify([network.name, network.protocol]),
  });
  const own = shared.read(network.batchSize, (batch) => batch % size === rank);
  try {
    await inOrder(ranks, {
      count: shared.count(network.batchSize),
      async make() {
        const { value: batch } = await own.next();
        if (!batch) throw new Error(`${name} ended early`);
        return serialize(await extractBatch(network, inChannels(batch, network.channels)));
      },
      take: (bytes) => add(deserialize(bytes)),
    });
  } finally {
    await own.return();
  }
}

/**
 * Returns a network's output for a batch of samples, filled up with copies of the last one. A kernel may round
 * differently if it gets fewer samples, so a sample's features would otherwise depend on the size of its set.
 */
async function extractBatch(network: FeatureNetwork, samples: Tensor<'uint8'>): Promise<ExtractedFeatures> {
  const [count, ...inner] = take(samples.shape, 1);
  if (count === network.batchSize) return network.extract(samples);
  const size = elementCount(inner);
  const full = new Uint8Array(network.batchSize * size);
  full.set(samples.data);
  for (let n = count; n < network.batchSize; n++) full.set(samples.data.subarray(-size), n * size);
  const extracted = await network.extract(tensor('uint8', [network.batchSize, ...inner], full));
  return Object.fromEntries(
    Object.entries(extracted).map(([name, rows]) => [name, rows && sliceAxis(rows, 0, 0, count)]),
  ) as unknown as ExtractedFeatures;
}

/**
 * An opened set with its features. Statistics that are stored next to samples are taken as they are, since they may be
 * those of more samples, and are then the only ones.
 */
export async function completeSet(
  device: Device,
  network: FeatureNetwork,
  opened: SetContents,
  options: ExtractOptions = {},
): Promise<EvaluationSet> {
  if (opened.kind === 'features') return opened.set;
  const { stored } = opened;
  if (stored?.gaussian) {
    const { name } = opened.images;
    requireSameNetwork({ ...stored, name: `the statistics in ${name}` }, provenance(network, name));
  }
  const extracted = await extractFeatures(device, network, opened.images, options);
  if (!stored?.gaussian) return extracted;
  const { gaussian, spatial, network: name = extracted.network } = stored;
  return { ...extracted, network: name, gaussian, spatial };
}

/** Returns what the features of a network record about how they were made. */
export function provenance({ name: network, protocol }: FeatureNetwork, name: string) {
  return { name, network, protocol };
}

function requireKind({ name, takesClips = false }: FeatureNetwork, source: SampleSource): void {
  const areClips = source.shape.length === 4;
  if (areClips === takesClips) return;
  const [given, wanted] = areClips ? ['videos', 'images'] : ['images', 'videos'];
  throw new ArgumentError(`${source.name}: holds ${given}, but the network '${name}' is one of ${wanted}`);
}

/** Room for rows of `count` samples, taken when the first come. */
function rowCollector(count: number) {
  let all: Tensor<'float32'> | undefined;
  let filled = 0;
  return {
    add({ shape, data }: Tensor<'float32'>): void {
      const [n, dims] = take(shape, 2);
      all ??= float32([count, dims], new Float32Array(count * dims));
      all.data.set(data, filled * dims);
      filled += n;
    },
    rows: () => all,
  };
}

/** Samples in grey or RGB; the channels are the last axis. */
function inChannels(samples: Tensor<'uint8'>, channels: Channels): Tensor<'uint8'> {
  const shape = samples.shape.slice(0, -1);
  const stored = samples.shape[shape.length];
  if (stored === channels) return samples;
  const strip = { width: elementCount(shape), height: 1, channels: stored as Channels, data: samples.data };
  return tensor('uint8', [...shape, channels], withChannels(strip, channels).data);
}

function requireFinite({ shape, data }: Tensor<'float32'>, name: string, start: number): void {
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new ArgumentError(
    `${name}: the network's features of sample ${start + Math.floor(bad / at(shape, 1))} are not finite (${data[bad]}); ` +
      'its weights may be damaged',
  );
}
