/** @file Ways to damage bytes and JSON: flips, cuts, splices, copies, extreme numbers, deep nesting, huge counts. */

import { uint8At } from '../../src/at.ts';
import type { Random } from './random.ts';

type Damage = (data: Uint8Array, random: Random) => Uint8Array;

/** Returns bytes with one kind of damage or, sometimes, several. */
export function damagedBytes(data: Uint8Array, random: Random): Uint8Array {
  const kinds = [flipped, replaced, replaced, extreme, spliced, cut, repeated, digitsChanged];
  let out = data;
  do out = out.length > 0 ? random.pick(kinds)(out, random) : out;
  while (random.oneIn(4));
  return out;
}

const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

const flipped: Damage = (data, random) => {
  const out = data.slice();
  const place = random.below(out.length);
  out[place] = (out[place] ?? 0) ^ (1 << random.below(8));
  return out;
};

/** Changes a few bytes; half of the new values make lengths and offsets implausible. */
const replaced: Damage = (data, random) => {
  const out = data.slice();
  for (let count = 1 + random.below(4); count > 0; count--) {
    out[random.below(out.length)] = random.oneIn(2) ? random.below(256) : random.pick([0, 0x7f, 0x80, 0xff]);
  }
  return out;
};

const EXTREMES = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0x7fffn,
  0xffffn,
  0x7fffffffn,
  0xffffffffn,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Sets an integer of 2, 4 or 8 bytes to an extreme value, in either byte order. */
const extreme: Damage = (data, random) => {
  const size = random.pick([2, 4, 8]);
  if (data.length < size) return data;
  const out = data.slice();
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(random.pick(EXTREMES));
  const piece = bytes.subarray(0, size);
  out.set(random.oneIn(2) ? piece : piece.reverse(), random.below(data.length - size + 1));
  return out;
};

/** Copies a piece of the file to a different place, over the bytes there or between them. */
const spliced: Damage = (data, random) => {
  const from = random.below(data.length);
  const piece = data.slice(from, from + 1 + random.below(64));
  const to = random.below(data.length);
  return joined(
    data.subarray(0, to),
    piece,
    data.subarray(to + (random.oneIn(2) ? piece.length : random.below(16))),
  );
};

/** Removes the end, or a piece. */
const cut: Damage = (data, random) => {
  const at = random.below(data.length);
  return joined(
    data.subarray(0, at),
    random.oneIn(2) ? data.subarray(at + 1 + random.below(32)) : new Uint8Array(),
  );
};

/** Repeats a piece many times. */
const repeated: Damage = (data, random) => {
  const from = random.below(data.length);
  const piece = data.slice(from, from + 1 + random.below(32));
  const times = random.pick([2, 10, 100, 1000]);
  return joined(data.subarray(0, from), ...Array<Uint8Array>(times).fill(piece), data.subarray(from));
};

const NUMBERS = [
  '-1',
  '0',
  '1e999',
  '4294967296',
  '9007199254740993',
  '99999999999999999999',
  '0.5',
  '-0',
  '00',
];

/** Changes a number in a text header. */
const digitsChanged: Damage = (data, random) => {
  const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
  const from = data.findIndex((byte, i) => i >= random.below(data.length) && isDigit(byte));
  if (from < 0) return data;
  let end = from;
  while (end < data.length && isDigit(uint8At(data, end))) end++;
  return joined(data.subarray(0, from), Buffer.from(random.pick(NUMBERS)), data.subarray(end));
};

/** A text that messages must not show unchanged. */
export const HOSTILE_TEXT = '\u001b[31mx\r\ny\u202e\u0000';

const VALUES: readonly ((random: Random) => unknown)[] = [
  () => null,
  () => true,
  () => -1,
  () => 0,
  () => 0.5,
  () => 1e308,
  () => -1e-300,
  () => 2 ** 31,
  () => 2 ** 53,
  () => '',
  () => '1',
  () => HOSTILE_TEXT,
  () => '../../etc/passwd',
  () => '__proto__',
  () => 'é'.repeat(5000),
  () => [],
  () => ({}),
  () => [[1], { a: null }],
  (random) => Array(random.pick([10, 1000, 100_000])).fill(1),
  (random) => nested(random.pick([50, 150, 1500])),
];

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Returns a JSON text with changed values, fields or bytes. */
export function damagedJson(text: string, random: Random): Uint8Array {
  let value: unknown = JSON.parse(text);
  if (random.oneIn(4)) return damagedBytes(Buffer.from(text), random);
  do value = changedValue(value, random);
  while (random.oneIn(3));
  const changed = Buffer.from(JSON.stringify(value) ?? '');
  return random.oneIn(8) ? damagedBytes(changed, random) : new Uint8Array(changed);
}

/** Returns a value with a change in one place, chosen at random. */
function changedValue(value: unknown, random: Random): unknown {
  if (typeof value !== 'object' || value === null || random.oneIn(10)) return random.pick(VALUES)(random);
  const entries = Object.entries(value);
  if (entries.length === 0) return random.pick(VALUES)(random);
  const at = random.below(entries.length);
  const [key, item] = entries[at]!;
  const choice = random.below(10);
  if (choice === 0) entries.splice(at, 1);
  else if (choice === 1) entries.push([random.pick([HOSTILE_TEXT, `${key}x`, 'x'.repeat(5000)]), item]);
  else if (choice === 2) entries.push([key, random.pick(entries)[1]]);
  else if (choice === 3 && typeof item === 'number')
    entries[at] = [key, item * random.pick([-1, 2, 1000, 1e9])];
  else entries[at] = [key, changedValue(item, random)];
  return Array.isArray(value) ? entries.map(([, entry]) => entry) : Object.fromEntries(entries);
}
