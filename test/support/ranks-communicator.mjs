/**
 * @file A program that ranks run: sums and gathers random values with the built communicator, and compares the results with
 * loops. Prints a line of JSON per rank.
 */

import { alone, connectRanks, dealPieces, detectLaunch } from '../../dist/distributed/index.js';

const launch = detectLaunch(process.env);
const ranks = launch ? await connectRanks(launch) : alone();
const { rank, size } = ranks;

/** Numbers that every rank can make for every other. */
function valuesOf(maker, length) {
  return Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i * 12.9898 + maker * 78.233) * 1e4));
}

const differences = [];
function compare(what, got, expected) {
  const other = expected.findIndex((value, i) => !Object.is(value, got[i]));
  if (got.length !== expected.length || other >= 0) differences.push(`${what} at ${other}`);
}

/** Sums in rounds, as training does, and in a loop. */
async function checkSums(vectors, pieceLength, microBatches) {
  let offset = 0;
  const spans = vectors.map((length) => {
    offset += length + 3; // a gap after each
    return { offset: offset - length - 3, length };
  });
  const ownership = dealPieces(spans, { most: pieceLength, multiple: 1 }, size);
  const sums = new Float32Array(ownership.shardLengths[rank]);
  for (let first = 0; first < microBatches; first += size) {
    const active = Math.min(size, microBatches - first);
    const values = rank < active ? valuesOf(first + rank, offset) : new Float32Array(offset).fill(Number.NaN);
    const states = await ranks.reduceToOwners(ownership, values, sums, { active, add: first > 0, state: 0 });
    if (states.some((state) => state !== 0)) differences.push('states');
  }
  const expected = valuesOf(0, offset);
  for (let maker = 1; maker < microBatches; maker++) {
    valuesOf(maker, offset).forEach((value, i) => {
      expected[i] += value;
    });
  }
  const whole = new Float32Array(offset);
  for (let piece = 0; piece < ownership.lengths.length; piece++) {
    if (ownership.owners[piece] !== rank) continue;
    const from = ownership.shardOffsets[piece];
    whole.set(sums.subarray(from, from + ownership.lengths[piece]), ownership.offsets[piece]);
  }
  await ranks.gatherFromOwners(ownership, whole);
  for (const { offset: from, length } of spans) {
    compare('sums', whole.subarray(from, from + length), expected.subarray(from, from + length));
  }
  // The second vector alone, on the first rank.
  const first = Math.ceil(vectors[0] / pieceLength);
  const end = first + Math.ceil(vectors[1] / pieceLength);
  const one = new Float32Array(rank === 0 ? vectors[1] : 0);
  await ranks.shardsToFirst(ownership, { first, end }, sums, one);
  if (rank === 0) compare('a vector', one, expected.subarray(spans[1].offset, spans[1].offset + vectors[1]));
}

await checkSums([1000, 777, 1, 128], 100, 5);
await checkSums([3, 5], 8, 3); // fewer pieces than three ranks
await checkSums([600_000, 200_001], 196_608, 4);

const stop = new Float32Array(10).fill(1);
const kept = new Float32Array(10);
const one = dealPieces([{ offset: 0, length: 10 }], { most: 4, multiple: 1 }, size);
const options = { active: size, add: false, state: rank === size - 1 ? 7 : 0 };
const states = await ranks.reduceToOwners(one, stop, kept, options);
compare(
  'states',
  states,
  Uint8Array.from({ length: size }, (_, i) => (i === size - 1 ? 7 : 0)),
);
compare('untouched', kept, new Float32Array(10));

const texts = await ranks.gatherToAll(new TextEncoder().encode('x'.repeat(rank)));
compare(
  'texts',
  texts.map((text) => text.length),
  Array.from({ length: size }, (_, i) => i),
);
const large = new Uint8Array(17_000_000 * (rank % 2) + 5).fill(rank + 1);
const gathered = await ranks.gatherToFirst(large);
if (rank === 0) {
  compare(
    'lengths',
    gathered.map(({ length }) => length),
    Array.from({ length: size }, (_, i) => 17_000_000 * (i % 2) + 5),
  );
  if (gathered.some((bytes, maker) => !Buffer.from(bytes).equals(Buffer.alloc(bytes.length, maker + 1))))
    differences.push('large');
}
const sent = rank === 0 ? valuesOf(1, 4_300_000) : new Float32Array(4_300_000);
await ranks.broadcast(sent);
compare('broadcast', sent, valuesOf(1, 4_300_000));
console.log(JSON.stringify({ rank, size, library: ranks.library, differences }));
await ranks.close();
