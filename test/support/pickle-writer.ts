/** @file Hand-made pickles and checkpoints for tests, valid and malicious. */

import { encodeZip } from '../../src/formats/zip.ts';

/** A pickle from opcodes: text is taken as one byte a character, numbers as bytes. Ends with STOP. */
export function pickle(...parts: (string | number)[]): Uint8Array {
  const code = parts.map((part) => (typeof part === 'number' ? String.fromCharCode(part) : part)).join('');
  return new Uint8Array(Buffer.from(`\x80\x02${code}.`, 'latin1'));
}

/** The opcode that pushes a short string. */
export function text(value: string): string {
  return `\x8c${String.fromCharCode(value.length)}${value}`;
}

/** The opcode that pushes an integer of 32 bits. */
export function int(value: number): string {
  return `J${String.fromCharCode(...[0, 8, 16, 24].map((shift) => (value >> shift) & 0xff))}`;
}

/** The opcode that pushes an integer of 64 bits. */
export function long(value: bigint): string {
  const bytes = Array.from({ length: 8 }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
  return `\x8a\x08${String.fromCharCode(...bytes)}`;
}

export function tuple(...items: string[]): string {
  return `(${items.join('')}t`;
}

/** A dict with texts as keys. */
export function dict(entries: Readonly<Record<string, string>>): string {
  const items = Object.entries(entries).flatMap(([key, value]) => [text(key), value]);
  return `}(${items.join('')}u`;
}

/** An object of a class, by default an `argparse.Namespace`, with attributes. */
export function namespace(
  attributes: Readonly<Record<string, string>>,
  className = 'argparse\nNamespace',
): string {
  return `c${className}\n)\x81${dict(attributes)}b`;
}

/** A call of a global. */
export function reduce(module: string, name: string, args: string): string {
  return `c${module}\n${name}\n${args}R`;
}

/** A storage as torch.save refers to it. */
export function storage({ key = '0', type = 'FloatStorage', count = int(4) } = {}): string {
  return `${tuple(text('storage'), `ctorch\n${type}\n`, text(key), text('cpu'), count)}Q`;
}

/** A tensor as torch.save describes it. Sizes and strides are opcodes too. */
export function tensor(
  options: {
    key?: string;
    type?: string;
    count?: string;
    offset?: string;
    shape?: string[];
    strides?: string[];
    metadata?: string;
  } = {},
): string {
  const shape = tuple(...(options.shape ?? [int(4)]));
  const strides = tuple(...(options.strides ?? [int(1)]));
  const hooks = reduce('collections', 'OrderedDict', ')');
  return reduce(
    'torch._utils',
    '_rebuild_tensor_v2',
    tuple(storage(options), options.offset ?? int(0), shape, strides, '\x89', hooks, options.metadata ?? ''),
  );
}

/** A checkpoint file around a pickle, with storages by key. */
export function checkpoint(
  data: Uint8Array,
  storages: Record<string, Uint8Array> = {},
  options: { byteorder?: string; compress?: boolean } = {},
): Promise<Uint8Array> {
  const files: [string, Uint8Array][] = [['archive/data.pkl', data]];
  for (const [key, bytes] of Object.entries(storages)) files.push([`archive/data/${key}`, bytes]);
  if (options.byteorder) files.push(['archive/byteorder', new TextEncoder().encode(options.byteorder)]);
  return encodeZip(files, options.compress ?? false);
}
