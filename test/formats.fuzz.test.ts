/**
 * @file Whatever bytes the readers get, they give a value or a named error: no crash, hang or bare RangeError.
 * ACDIT_FUZZ_RUNS (400) and ACDIT_FUZZ_SEED make it longer and different.
 */

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { FormatError, ShapeError } from '../src/errors.ts';
import { bytesSource } from '../src/formats/byte-source.ts';
import { encodeNpy, parseNpy } from '../src/formats/npy.ts';
import { encodeNpz, openNpz } from '../src/formats/npz.ts';
import { encodeSafetensors, openSafetensors } from '../src/formats/safetensors.ts';
import type { TensorArchive } from '../src/formats/tensor-archive.ts';
import { isTorchTensor, openTorchCheckpoint, type TorchValue } from '../src/formats/torch-checkpoint.ts';
import { unpickleTorch } from '../src/formats/torch-pickle.ts';
import { openZip } from '../src/formats/zip.ts';
import { float32, tensor } from '../src/tensor/tensor.ts';

/** A copy of its own: a Buffer's slices would share their damage. */
const zoo = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`fixtures/golden/${name}`, import.meta.url)));

const values = {
  weight: float32([2, 3], [1, 2, 3, 4, 5, 6]),
  count: tensor('int64', [], BigInt64Array.of(7n)),
  mask: tensor('bool', [3], Uint8Array.of(1, 0, 1)),
};

/** Everything in a file is read, as far as it gets. */
type Consume = (bytes: Uint8Array) => Promise<unknown>;

async function consumeArchive(archive: Pick<TensorArchive, 'names' | 'read'>): Promise<void> {
  for (const name of archive.names) await archive.read(name);
}

async function consumeTree(value: TorchValue): Promise<void> {
  if (isTorchTensor(value)) await value.read();
  else if (value instanceof Map) for (const item of value.values()) await consumeTree(item);
  else if (Array.isArray(value)) for (const item of value as readonly TorchValue[]) await consumeTree(item);
  else if (typeof value === 'object' && value !== null && 'attributes' in value) {
    for (const item of value.attributes.values()) await consumeTree(item);
  }
}

async function pickleOf(name: string): Promise<{ data: Uint8Array; consume: Consume }> {
  const members = await openZip(bytesSource(await zoo(name)));
  const folder = name.replace('.pt', '');
  return {
    data: await members.get(`${folder}/data.pkl`)!.read(),
    consume: async (bytes) =>
      consumeTree(unpickleTorch(bytes, (key) => members.get(`${folder}/data/${key}`), 'x').value),
  };
}

const readers: [string, () => Promise<{ data: Uint8Array; consume: Consume }>][] = [
  ['npy', async () => ({ data: encodeNpy(values.weight), consume: async (bytes) => parseNpy(bytes) })],
  ...[false, true].map((compress): (typeof readers)[number] => [
    `npz (compressed: ${compress})`,
    async () => ({
      data: await encodeNpz(values, { compress }),
      consume: async (bytes) => consumeArchive(await openNpz(bytesSource(bytes))),
    }),
  ]),
  [
    'safetensors',
    async () => ({
      data: encodeSafetensors(Object.entries(values), { step: '1' }),
      consume: async (bytes) => consumeArchive(await openSafetensors(bytesSource(bytes))),
    }),
  ],
  [
    'a PyTorch checkpoint',
    async () => ({
      data: await zoo('pickle-zoo.pt'),
      consume: async (bytes) => consumeTree((await openTorchCheckpoint(bytesSource(bytes))).value),
    }),
  ],
  [
    'a PyTorch checkpoint in the old format',
    async () => ({
      data: await zoo('pickle-zoo-legacy.pt'),
      consume: async (bytes) => consumeTree((await openTorchCheckpoint(bytesSource(bytes))).value),
    }),
  ],
  ...[2, 3, 4, 5].map((protocol): (typeof readers)[number] => [
    `a pickle of protocol ${protocol}`,
    () => pickleOf(`pickle-zoo-proto${protocol}.pt`),
  ]),
];

/** xorshift32: the same damage in every run. */
function randomIntegers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const RUNS = Number(process.env.ACDIT_FUZZ_RUNS ?? 400);
const SEED = Number(process.env.ACDIT_FUZZ_SEED ?? 20260101);

/** Damage of one kind or, sometimes, of several. */
function damaged(data: Uint8Array, random: (below: number) => number): Uint8Array {
  const kinds = [changed, changed, spliced, cut];
  const once = kinds[random(kinds.length)](data, random);
  return once.length > 0 && random(4) === 0 ? damaged(once, random) : once;
}

type Damage = (data: Uint8Array, random: (below: number) => number) => Uint8Array;

/** A few bytes are others. */
const changed: Damage = (data, random) => {
  const out = data.slice();
  for (let flips = 1 + random(4); flips > 0; flips--) {
    // Half of the new bytes are extreme ones, which make lengths and offsets absurd.
    out[random(out.length)] = random(2) ? random(256) : [0, 0x7f, 0x80, 0xff][random(4)];
  }
  return out;
};

/** A piece of the file stands elsewhere in it, over what was there or between it. */
const spliced: Damage = (data, random) => {
  const from = random(data.length);
  const piece = data.slice(from, from + 1 + random(64));
  const to = random(data.length);
  const rest = to + (random(2) ? piece.length : random(16));
  return Uint8Array.from([...data.subarray(0, to), ...piece, ...data.subarray(rest)]);
};

/** The end, or a piece, is missing. */
const cut: Damage = (data, random) => {
  const at = random(data.length);
  return Uint8Array.from([...data.subarray(0, at), ...(random(2) ? data.subarray(at + 1 + random(32)) : [])]);
};

/** Seconds that a reader may compute. */
const LONGEST = 10;
/** Bytes that the process may grow by in one run. */
const LARGEST = 1e9;

/** `undefined` if the reader behaved, else the error it should not have thrown. */
async function misbehaviour(consume: Consume, bytes: Uint8Array): Promise<unknown> {
  const start = process.cpuUsage();
  const memory = process.memoryUsage().rss;
  try {
    await consume(bytes);
  } catch (error) {
    if (!(error instanceof FormatError || error instanceof ShapeError)) return error;
    if (/\n/.test(error.message)) return new Error(`more than one line: ${error.message}`);
  }
  const seconds = process.cpuUsage(start).user / 1e6;
  const grown = process.memoryUsage().rss - memory;
  return seconds > LONGEST || grown > LARGEST ? new Error(`took ${seconds} s and ${grown} bytes`) : undefined;
}

describe.each(readers)('%s', (_, make) => {
  it('reads the undamaged file', async () => {
    const { data, consume } = await make();
    await consume(data);
  });

  it('is cut anywhere', async () => {
    const { data, consume } = await make();
    const step = Math.max(1, Math.floor(data.length / 150));
    for (let length = 0; length < data.length; length += step) {
      const cut = data.slice(0, length);
      await expect(consume(cut), `cut at ${length}`).rejects.toThrow(FormatError);
    }
  });

  it('is damaged anywhere', { timeout: 120_000 + 100 * RUNS }, async () => {
    const { data, consume } = await make();
    const random = randomIntegers(SEED);
    for (let run = 0; run < RUNS; run++) {
      expect(await misbehaviour(consume, damaged(data, random)), `run ${run}`).toBeUndefined();
    }
  });

  it('is noise', async () => {
    const { data, consume } = await make();
    const random = randomIntegers(7);
    for (let run = 0; run < 50; run++) {
      const noise = Uint8Array.from({ length: random(300) }, (_unused, i) => (i < 8 ? data[i] : random(256)));
      expect(await misbehaviour(consume, noise), `run ${run}`).toBeUndefined();
    }
  });
});
