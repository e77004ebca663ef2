/**
 * @file Python pickles, protocols 2 to 5, read without executing anything (Lib/pickletools.py defines the opcodes).
 * Python's own reader imports and calls anything a pickle names. Here names and calls go to a host with a fixed list
 * of meanings; opcodes that could do more are refused.
 */

import { at, take } from '../../at.ts';
import { PickleBudget } from './pickle-budget.ts';
import { PickleReader } from './pickle-reader.ts';

/**
 * A value from a pickle. Tuples and frozen sets are frozen arrays, lists and sets are plain ones, dicts are Maps,
 * `None` is null, and integers beyond 2^53 are bigints. `H` are the objects that the host makes.
 */
export type PickleValue<H extends object> =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly PickleValue<H>[]
  | Map<PickleValue<H>, PickleValue<H>>
  | H;

/** Gives meaning to what a pickle names. Every method throws a FormatError for what it does not know. */
export interface PickleHost<H extends object> {
  /** What a pickle calls `module.name`. */
  global(module: string, name: string): PickleValue<H>;
  /** The result of calling a global, or of making an instance of it. */
  call(callee: PickleValue<H>, args: readonly PickleValue<H>[]): PickleValue<H>;
  /** Set the state of an object (`__setstate__`). */
  build(target: PickleValue<H>, state: PickleValue<H>): void;
  /** Appends to an object of the host, whose class extends list or set. */
  append(target: H, items: readonly PickleValue<H>[]): void;
  /** Sets items of an object of the host, whose class extends dict: keys and values in turn. */
  setItems(target: H, items: readonly PickleValue<H>[]): void;
  /** An object stored outside the pickle. */
  persistent(id: PickleValue<H>): PickleValue<H>;
}

/**
 * The value of the pickle that begins at `start`, and where it ends. It may contain cycles and be far larger written out than in memory:
 * see `checkTree`.
 * @throws {FormatError} if the pickle is damaged, uses an opcode outside protocols 2 to 5 or one that is refused,
 * names something that the host does not know, or describes absurdly much.
 */
export function unpickle<H extends object>(
  bytes: Uint8Array,
  host: PickleHost<H>,
  name = 'pickle',
  start = 0,
): { readonly value: PickleValue<H>; readonly end: number } {
  const reader = new PickleReader(bytes, name, start);
  const unpickler = new Unpickler(reader, host);
  for (;;) {
    const code = reader.uint8();
    if (code === STOP) return { value: unpickler.finish() as PickleValue<H>, end: reader.position };
    const opcode = OPCODES.get(code);
    unpickler.budget.spend(opcode?.cost ?? 1);
    if (!opcode) {
      throw reader.problem(`opcode 0x${code.toString(16).padStart(2, '0')} is unknown or not allowed here`);
    }
    opcode.run(unpickler);
  }
}

type Value = PickleValue<object>;

/** The unpickler's stack with its marks, and its memo. Nothing is popped from below the last mark. */
class Unpickler {
  readonly reader: PickleReader;
  readonly host: PickleHost<object>;
  readonly budget: PickleBudget;
  readonly #items: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();

  constructor(reader: PickleReader, host: PickleHost<object>) {
    this.reader = reader;
    this.host = host;
    this.budget = new PickleBudget(reader);
  }

  push(value: Value): void {
    this.#items.push(value);
  }

  top(): Value {
    const value = this.#items.at(-1);
    if (value === undefined || this.#items.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.reader.problem('takes from an empty stack');
    }
    return value;
  }

  pop(): Value {
    const value = this.top();
    this.#items.pop();
    return value;
  }

  /** The top `count` values, in the order they were pushed. */
  popMany(count: number): Value[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  /** Python pops the mark when there is nothing above it. */
  popItemOrMark(): void {
    if (this.#marks.length > 0 && this.#marks.at(-1) === this.#items.length) this.#marks.pop();
    else this.pop();
  }

  mark(): void {
    this.#marks.push(this.#items.length);
  }

  popToMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.reader.problem('takes from a mark that was never set');
    return this.#items.splice(mark);
  }

  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): Value {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.reader.problem(`recalls value ${index}, which was never stored`);
    return value;
  }

  finish(): Value {
    const value = this.pop();
    if (this.#items.length > 0 || this.#marks.length > 0) throw this.reader.problem('leaves values over');
    return value;
  }

  checkProtocol(): void {
    const protocol = this.reader.uint8();
    if (protocol < 2 || protocol > 5)
      throw this.reader.problem(`pickle protocol ${protocol} is not known; 2 to 5 are`);
  }

  append(items: Value[]): void {
    const list = this.top();
    if (Array.isArray(list) && !Object.isFrozen(list)) for (const item of items) list.push(item);
    else if (isHostObject(list)) this.host.append(list, items);
    else throw this.reader.problem('appends to something that is not a list');
  }

  setItems(items: Value[]): void {
    const dict = this.top();
    if (dict instanceof Map) this.fill(dict, items);
    else if (isHostObject(dict)) this.host.setItems(dict, items);
    else throw this.reader.problem('sets items of something that is not a dict');
  }

  /** Sets items of a dict: keys and values in turn. */
  fill(dict: Map<Value, Value>, items: Value[]): Map<Value, Value> {
    if (items.length % 2 !== 0) throw this.reader.problem('a dict key has no value');
    for (let i = 0; i < items.length; i += 2) {
      const key = at(items, i);
      if (key instanceof Map || (Array.isArray(key) && !Object.isFrozen(key))) {
        throw this.reader.problem('a list or dict cannot be a dict key');
      }
      dict.set(key, at(items, i + 1));
    }
    return dict;
  }

  global(): Value {
    const [module, name] = this.popMany(2);
    if (typeof module !== 'string' || typeof name !== 'string')
      throw this.reader.problem('a global is named by no strings');
    return this.host.global(module, name);
  }

  call(): Value {
    const [callee, args] = take(this.popMany(2), 2);
    if (!Array.isArray(args) || !Object.isFrozen(args))
      throw this.reader.problem('calls something without a tuple');
    this.budget.spendOnArguments(args);
    return this.host.call(callee, args);
  }

  callWithKeywords(): Value {
    this.budget.spendOnArguments(this.pop()); // which no call here takes
    return this.call();
  }

  build(): void {
    const state = this.pop();
    this.budget.spendOnArguments(state);
    this.host.build(this.top(), state);
  }
}

function isHostObject(value: Value): value is object {
  const isData = Array.isArray(value) || value instanceof Map || value instanceof Uint8Array;
  return typeof value === 'object' && value !== null && !isData;
}

/** The character of an opcode, and what it does. */
type Opcodes<T> = Readonly<Record<string, readonly [string, (unpickler: Unpickler) => T]>>;

const STOP = '.'.charCodeAt(0);

/** Opcodes that push a number, a text, bytes, or a value that is there already. */
const VALUES: Opcodes<Value> = {
  NONE: ['N', () => null],
  NEWTRUE: ['\x88', () => true],
  NEWFALSE: ['\x89', () => false],
  BININT: ['J', ({ reader }) => reader.int32()],
  BININT1: ['K', ({ reader }) => reader.uint8()],
  BININT2: ['M', ({ reader }) => reader.uint16()],
  LONG1: ['\x8a', ({ reader }) => reader.long(reader.uint8())],
  LONG4: ['\x8b', ({ reader }) => reader.long(reader.uint32())],
  BINFLOAT: ['G', ({ reader }) => reader.float64()],
  // Strings of Python 2 too; any that matters here is ASCII.
  SHORT_BINSTRING: ['U', ({ reader }) => reader.text(reader.uint8())],
  BINSTRING: ['T', ({ reader }) => reader.text(reader.uint32())],
  SHORT_BINUNICODE: ['\x8c', ({ reader }) => reader.text(reader.uint8())],
  BINUNICODE: ['X', ({ reader }) => reader.text(reader.uint32())],
  BINUNICODE8: ['\x8d', ({ reader }) => reader.text(reader.uint64())],
  SHORT_BINBYTES: ['C', ({ reader }) => reader.bytes(reader.uint8())],
  BINBYTES: ['B', ({ reader }) => reader.bytes(reader.uint32())],
  BINBYTES8: ['\x8e', ({ reader }) => reader.bytes(reader.uint64())],
  BYTEARRAY8: ['\x96', ({ reader }) => reader.bytes(reader.uint64())],
  GLOBAL: ['c', ({ host, reader }) => host.global(reader.line(), reader.line())],
  STACK_GLOBAL: ['\x93', (unpickler) => unpickler.global()],
  DUP: ['2', (unpickler) => unpickler.top()],
  BINGET: ['h', (unpickler) => unpickler.recall(unpickler.reader.uint8())],
  LONG_BINGET: ['j', (unpickler) => unpickler.recall(unpickler.reader.uint32())],
};

/** Opcodes that push a tuple, list, set, dict or object. */
const OBJECTS: Opcodes<Value> = {
  EMPTY_TUPLE: [')', () => Object.freeze([])],
  TUPLE1: ['\x85', (unpickler) => Object.freeze(unpickler.popMany(1))],
  TUPLE2: ['\x86', (unpickler) => Object.freeze(unpickler.popMany(2))],
  TUPLE3: ['\x87', (unpickler) => Object.freeze(unpickler.popMany(3))],
  TUPLE: ['t', (unpickler) => Object.freeze(unpickler.popToMark())],
  FROZENSET: ['\x91', (unpickler) => Object.freeze(unpickler.popToMark())],
  EMPTY_LIST: [']', () => []],
  EMPTY_SET: ['\x8f', () => []],
  LIST: ['l', (unpickler) => unpickler.popToMark()],
  EMPTY_DICT: ['}', () => new Map()],
  DICT: ['d', (unpickler) => unpickler.fill(new Map(), unpickler.popToMark())],
  BINPERSID: ['Q', (unpickler) => unpickler.host.persistent(unpickler.pop())],
  REDUCE: ['R', (unpickler) => unpickler.call()],
  NEWOBJ: ['\x81', (unpickler) => unpickler.call()],
  NEWOBJ_EX: ['\x92', (unpickler) => unpickler.callWithKeywords()],
};

/** Opcodes that store a value in the memo. */
const MEMOS: Opcodes<void> = {
  MEMOIZE: ['\x94', (unpickler) => unpickler.memoize()],
  BINPUT: ['q', (unpickler) => unpickler.memoize(unpickler.reader.uint8())],
  LONG_BINPUT: ['r', (unpickler) => unpickler.memoize(unpickler.reader.uint32())],
};

/** Opcodes that frame the pickle, move what is on the stack, or change the object at its top. */
const OTHERS: Opcodes<void> = {
  PROTO: ['\x80', (unpickler) => unpickler.checkProtocol()],
  FRAME: ['\x95', ({ reader }) => reader.frame(reader.uint64())],
  MARK: ['(', (unpickler) => unpickler.mark()],
  POP: ['0', (unpickler) => unpickler.popItemOrMark()],
  POP_MARK: ['1', (unpickler) => void unpickler.popToMark()],
  APPEND: ['a', (unpickler) => unpickler.append([unpickler.pop()])],
  APPENDS: ['e', (unpickler) => unpickler.append(unpickler.popToMark())],
  ADDITEMS: ['\x90', (unpickler) => unpickler.append(unpickler.popToMark())],
  SETITEM: ['s', (unpickler) => unpickler.setItems(unpickler.popMany(2))],
  SETITEMS: ['u', (unpickler) => unpickler.setItems(unpickler.popToMark())],
  BUILD: ['b', (unpickler) => unpickler.build()],
};

/** What an opcode does, and its cost in units of a PickleBudget: about its memory, in pieces of 16 bytes. */
interface Opcode {
  readonly cost: number;
  readonly run: (unpickler: Unpickler) => void;
}

function priced<T>(cost: number, opcodes: Opcodes<T>, use: (unpickler: Unpickler, made: T) => void) {
  return Object.values(opcodes).map(([character, run]): [number, Opcode] => [
    character.charCodeAt(0),
    { cost, run: (unpickler) => use(unpickler, run(unpickler)) },
  ]);
}

const push = (unpickler: Unpickler, value: Value): void => unpickler.push(value);

/** The opcodes that are read. Those that could do more than describe values are left out, and so refused. */
const OPCODES: ReadonlyMap<number, Opcode> = new Map([
  ...priced(1, VALUES, push),
  ...priced(8, OBJECTS, push),
  ...priced(3, MEMOS, () => {}),
  ...priced(1, OTHERS, () => {}),
]);
