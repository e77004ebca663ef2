/** @file What names of Python's own library mean in a checkpoint's pickle: containers and plain data. */

import { FormatError } from '../../errors.ts';
import type { PickleValue } from './pickle.ts';

type Call = <H extends object>(args: readonly PickleValue<H>[], name: string) => PickleValue<H>;

/** `OrderedDict()` and `defaultdict(factory)`; their items are set afterwards. */
function makeDict<H extends object>(args: readonly PickleValue<H>[], name: string): PickleValue<H> {
  if (args.some((arg) => Array.isArray(arg) || arg instanceof Map)) {
    throw new FormatError(`${name}: a dict is made with items as arguments, which is not supported`);
  }
  return new Map();
}

/** `Counter(dict)` */
function makeCounter<H extends object>([counts]: readonly PickleValue<H>[], name: string): PickleValue<H> {
  if (counts === undefined) return new Map();
  if (!(counts instanceof Map)) throw new FormatError(`${name}: a Counter is made from no dict`);
  return counts;
}

/** `set(list)` and `frozenset(list)`, as lists. */
function makeSet<H extends object>([items]: readonly PickleValue<H>[], name: string): PickleValue<H> {
  if (items === undefined) return [];
  if (!Array.isArray(items)) throw new FormatError(`${name}: a set is made from no list`);
  return items;
}

/** `bytes()`, `bytearray(bytes)` and `bytearray(text, encoding)`. */
function makeBytes<H extends object>(args: readonly PickleValue<H>[], name: string): Uint8Array {
  if (args.length === 0) return new Uint8Array(0);
  if (args[0] instanceof Uint8Array) return args[0];
  return encode(args, name);
}

/** `encode(text, 'latin1')`: how protocol 2 writes bytes. */
function encode<H extends object>([text, encoding]: readonly PickleValue<H>[], name: string): Uint8Array {
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) {
    throw new FormatError(`${name}: _codecs.encode is supported for latin1 text only`);
  }
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255) throw new FormatError(`${name}: text given as latin1 is none; the file is damaged`);
    bytes[i] = code;
  }
  return bytes;
}

/** A path from its parts, as a string with slashes. */
function makePath<H extends object>(parts: readonly PickleValue<H>[], name: string): string {
  if (!parts.every((part) => typeof part === 'string')) {
    throw new FormatError(`${name}: a path has parts that are no strings`);
  }
  return parts.join('/').replace(/^\/\//, '/');
}

const BUILTINS = ['builtins', '__builtin__'];
const PATHS = ['PosixPath', 'WindowsPath', 'PurePosixPath', 'PureWindowsPath'];

/** The names in each of these modules, with what they are called for. */
function named(modules: readonly string[], names: readonly string[], call: Call): [string, Call][] {
  return modules.flatMap((module) => names.map((name): [string, Call] => [`${module}.${name}`, call]));
}

/** How each name makes a value of its arguments. */
export const pythonCalls: ReadonlyMap<string, Call> = new Map([
  ...named(['collections'], ['OrderedDict', 'defaultdict'], makeDict),
  ['collections.Counter', makeCounter],
  ['_codecs.encode', encode],
  ...named(BUILTINS, ['set', 'frozenset'], makeSet),
  ...named(BUILTINS, ['bytes', 'bytearray'], makeBytes),
  ...named(['pathlib', 'pathlib._local'], PATHS, makePath),
]);

/** Types that a `defaultdict` may be made with. They are names, and call nothing. */
export const pythonTypes: readonly string[] = BUILTINS.flatMap((module) =>
  ['dict', 'list', 'int', 'float', 'str', 'bool'].map((type) => `${module}.${type}`),
);
