/** @file Readers of tensors: npy, npz, safetensors, PyTorch's checkpoints and pickles, TensorFlow graphs, IDX, zip. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseIdx, unpackGzip } from '../../src/data/idx.ts';
import { readEvaluationSet, writeFeatures } from '../../src/evaluation/evaluation-set.ts';
import {
  openChecksummedSafetensors,
  writeChecksummedSafetensors,
} from '../../src/formats/checksummed-safetensors.ts';
import { encodeNpy, parseNpy } from '../../src/formats/npy.ts';
import { encodeNpz, openNpz } from '../../src/formats/npz.ts';
import { encodeSafetensors, openSafetensors } from '../../src/formats/safetensors.ts';
import { openShards, parseShardIndex } from '../../src/formats/sharded-safetensors.ts';
import type { TensorArchive } from '../../src/formats/tensor-archive.ts';
import { openTensorflowGraph } from '../../src/formats/tensorflow-graph.ts';
import { isTorchTensor, openTorchCheckpoint, type TorchValue } from '../../src/formats/torch/checkpoint.ts';
import { unpickleTorch } from '../../src/formats/torch/torch-pickle.ts';
import { encodeZip, openZip } from '../../src/formats/zip.ts';
import { writeStoredZip } from '../../src/formats/zip-writer.ts';
import { bytesSource } from '../../src/io/byte-source.ts';
import { float32, tensor } from '../../src/tensor/tensor.ts';
import { encodeGraph } from '../../test/support/formula-inception.ts';
import { idxBytes } from '../../test/support/idx-files.ts';
import { shards } from '../../test/support/shards.ts';
import { damagedBytes, damagedJson } from './damage.ts';
import type { Random } from './random.ts';
import { fileTarget, type Sample, type Target } from './target.ts';

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url))));

const values = {
  weight: float32([2, 3], [1, 2, 3, 4, 5, 6]),
  count: tensor('int64', [], BigInt64Array.of(7n)),
  mask: tensor('bool', [3], Uint8Array.of(1, 0, 1)),
};

/** Reads all tensors. */
async function tensorsOf(archive: Pick<TensorArchive, 'names' | 'read'>): Promise<ArrayBufferView[]> {
  const tensors: ArrayBufferView[] = [];
  for (const name of archive.names) tensors.push((await archive.read(name)).data);
  return tensors;
}

async function readTree(value: TorchValue): Promise<void> {
  if (isTorchTensor(value)) await value.read();
  else if (value instanceof Map) for (const item of value.values()) await readTree(item);
  else if (Array.isArray(value)) for (const item of value as readonly TorchValue[]) await readTree(item);
  else if (typeof value === 'object' && value !== null && 'attributes' in value) {
    for (const item of value.attributes.values()) await readTree(item);
  }
}

/** A zip archive that is not compressed. */
async function storedZip(files: readonly (readonly [string, Uint8Array])[]): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const stored = files.map(([name, data]) => ({ name, read: async () => data }));
  await writeStoredZip(async (bytes) => void pieces.push(bytes.slice()), stored, 64);
  return new Uint8Array(Buffer.concat(pieces));
}

/** A zip archive, also with damage to a file in it and a matching checksum. */
async function zipSample(bytes: Uint8Array): Promise<Sample> {
  const files: (readonly [string, Uint8Array])[] = [];
  for (const [name, member] of await openZip(bytesSource(bytes))) files.push([name, await member.read()]);
  return {
    bytes,
    inside(random) {
      const damaged = random.below(files.length);
      const contents = files.map(([name, data], i): [string, Uint8Array] => [
        name,
        i === damaged ? damagedBytes(data, random) : data,
      ]);
      return random.oneIn(8) ? encodeZip(contents, true) : storedZip(contents);
    },
  };
}

/** A safetensors file, also with damage to the values of its header. */
function safetensorsSample(bytes: Uint8Array): Sample {
  const headerEnd = 8 + Number(Buffer.from(bytes).readBigUInt64LE());
  const header = Buffer.from(bytes.subarray(8, headerEnd)).toString();
  return {
    bytes,
    inside(random) {
      const json = damagedJson(header, random);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(json.length));
      return new Uint8Array(Buffer.concat([length, json, bytes.subarray(headerEnd)]));
    },
  };
}

async function numpyTargets(folder: string): Promise<Target[]> {
  const npzs = [await encodeNpz(values), await encodeNpz(values, { compress: true })];
  const features = join(folder, 'features.npz');
  const gaussian = { mean: Float64Array.of(1, 2), covariance: Float64Array.of(2, 1, 1, 2) };
  const protocol = { frames: 16, place: 'even' };
  const set = {
    name: 'set',
    network: 'x',
    features: float32([3, 2], [1, 2, 3, 4, 5, 7]),
    gaussian,
    protocol,
  };
  await writeFeatures(features, set);
  return [
    fileTarget({
      name: 'npy',
      endNeeded: true,
      samples: Object.values(values).map((value) => ({ bytes: encodeNpy(value) })),
      read: async (bytes) => [parseNpy(bytes).data],
    }),
    fileTarget({
      name: 'npz',
      endNeeded: true,
      samples: await Promise.all(npzs.map(zipSample)),
      checksummed: true,
      read: async (bytes) => tensorsOf(await openNpz(bytesSource(bytes))),
    }),
    fileTarget({
      name: 'features',
      samples: [await zipSample(new Uint8Array(await readFile(features)))],
      async read(bytes) {
        await readEvaluationSet(await openNpz(bytesSource(bytes)), 'features');
        return undefined;
      },
    }),
    fileTarget({
      name: 'zip',
      endNeeded: true,
      samples: [
        await zipSample(
          await encodeZip(
            [
              ['a.txt', Buffer.from('alpha'.repeat(50))],
              ['b', new Uint8Array(9)],
            ],
            true,
          ),
        ),
      ],
      checksummed: true,
      async read(bytes) {
        const contents: Uint8Array[] = [];
        for (const member of (await openZip(bytesSource(bytes))).values()) {
          const pieces: Uint8Array[] = [];
          for await (const piece of member.stream()) pieces.push(piece);
          contents.push(await member.read(), Buffer.concat(pieces));
        }
        return contents;
      },
    }),
  ];
}

/** A set of shards: the index and the files that it names, with damage to one of them. */
function shardedTarget(): Target {
  const index = 'model.safetensors.index.json';
  const files = shards(index, Object.entries(values));
  const samples = Object.entries(files).map(([name, bytes]) => ({
    name,
    ...(name === index
      ? { bytes, inside: (random: Random) => damagedJson(Buffer.from(bytes).toString(), random) }
      : safetensorsSample(bytes)),
  }));
  return fileTarget({
    name: 'sharded safetensors',
    samples,
    async read(bytes, sample) {
      const { name } = samples.find((one) => one === sample)!;
      const all: Record<string, Uint8Array> = { ...files, [name]: bytes };
      const text = new TextDecoder().decode(all[index]);
      const open = async (file: string) => bytesSource(all[file] ?? new Uint8Array(), file);
      return void (await tensorsOf(await openShards(parseShardIndex(text, index), index, open)));
    },
  });
}

async function safetensorsTargets(folder: string): Promise<Target[]> {
  const checksummed = join(folder, 'checksummed.safetensors');
  await writeChecksummedSafetensors(checksummed, Object.entries(values), { step: '1' }, ['weight']);
  return [
    fileTarget({
      name: 'safetensors',
      endNeeded: true,
      samples: [safetensorsSample(encodeSafetensors(Object.entries(values), { step: '1' }))],
      read: async (bytes) => tensorsOf(await openSafetensors(bytesSource(bytes))),
    }),
    fileTarget({
      name: 'checksummed safetensors',
      endNeeded: true,
      samples: [safetensorsSample(new Uint8Array(await readFile(checksummed)))],
      checksummed: true,
      async read(bytes) {
        const archive = await openChecksummedSafetensors(bytesSource(bytes));
        const rows = archive.has('weight') ? [(await archive.readRows('weight', 1, 1)).data] : [];
        return [...(await tensorsOf(archive)), ...rows, archive.metadata];
      },
    }),
    shardedTarget(),
  ];
}

async function torchTargets(): Promise<Target[]> {
  const readCheckpoint = async (bytes: Uint8Array): Promise<undefined> =>
    void (await readTree((await openTorchCheckpoint(bytesSource(bytes))).value));
  const protocols = [2, 3, 4, 5].map((protocol) => `pickle-zoo-proto${protocol}`);
  const pickles = await Promise.all(
    protocols.map(async (name) => {
      const members = await openZip(bytesSource(await fixture(`golden/${name}.pt`)));
      return { bytes: await members.get(`${name}/data.pkl`)!.read(), members, name };
    }),
  );
  const archives = ['golden/pickle-zoo.pt', 'torchscript/traced.pt'].map(async (name) =>
    zipSample(await fixture(name)),
  );
  return [
    fileTarget({
      name: 'torch checkpoint',
      endNeeded: true,
      samples: await Promise.all(archives),
      read: readCheckpoint,
    }),
    fileTarget({
      name: 'legacy torch checkpoint',
      endNeeded: true,
      samples: [{ bytes: await fixture('golden/pickle-zoo-legacy.pt') }],
      read: readCheckpoint,
    }),
    fileTarget({
      name: 'pickle',
      endNeeded: true,
      samples: pickles,
      async read(bytes, sample) {
        const { members, name } = pickles.find((one) => one === sample)!;
        await readTree(unpickleTorch(bytes, (key) => members.get(`${name}/data/${key}`), 'x').value);
        return undefined;
      },
    }),
  ];
}

function otherTargets(): Target[] {
  const graph = encodeGraph([
    { name: 'layer/params', value: values.weight },
    { name: 'single', value: values.weight, singly: true },
  ]);
  const idx = idxBytes(
    [3, 4, 4],
    Uint8Array.from({ length: 48 }, (_, i) => i),
  );
  const zipped = gzipSync(idx);
  return [
    fileTarget({
      name: 'TensorFlow graph',
      samples: [{ bytes: graph }],
      read: async (bytes) => tensorsOf(await openTensorflowGraph(bytesSource(bytes))),
    }),
    fileTarget({
      name: 'IDX',
      endNeeded: true,
      samples: [{ bytes: idx }],
      read: async (bytes) => [parseIdx(await unpackGzip(bytes, 'idx'), 'idx').data],
    }),
    fileTarget({
      name: 'IDX in gzip',
      endNeeded: true,
      samples: [
        {
          bytes: new Uint8Array(zipped),
          inside: (random) => new Uint8Array(gzipSync(damagedBytes(gunzipSync(zipped), random))),
        },
      ],
      checksummed: true,
      read: async (bytes) => [parseIdx(await unpackGzip(bytes, 'idx'), 'idx').data],
    }),
  ];
}

/** Returns the targets of all readers of tensors. @param folder for temporary files */
export async function tensorTargets(folder: string): Promise<Target[]> {
  return [
    ...(await numpyTargets(folder)),
    ...(await safetensorsTargets(folder)),
    ...(await torchTargets()),
    ...otherTargets(),
  ];
}
