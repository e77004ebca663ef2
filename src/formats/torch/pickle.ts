/**
 * @file Python pickles, protocols 2 to 5, read without executing anything (Lib/pickletools.py defines the opcodes).
 * Python's own reader imports and calls whatever a pickle names. Here names and calls go to a host with a fixed list
 * of meanings; opcodes that could do more are refused.
 */

import { at, take, uint8At } from '../../at.ts';
import { PickleBudget } from './pickle-budget.ts';
import { COSTS, Op } from './pickle-opcodes.ts';
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

/** What a pickle describes, and where it ends. */
export interface Unpickled<H extends object> {
  readonly value: PickleValue<H>;
  readonly end: number;
}

/**
 * The value of the pickle that begins at `start`. It may contain cycles and be far larger written out than in memory:
 * see `checkTree`.
 * @param name what to call the file in messages.
 * @throws {FormatError} if the pickle is damaged, uses an opcode outside protocols 2 to 5 or one that is refused,
 * names something that the host does not know, or describes absurdly much.
 */
export function unpickle<H extends object>(
  bytes: Uint8Array,
  host: PickleHost<H>,
  name = 'pickle',
  start = 0,
): Unpickled<H> {
  const reader = new PickleReader(bytes, name, start);
  const stack = new PickleStack<H>(reader);
  const budget = new PickleBudget(reader);
  for (;;) {
    const opcode = reader.uint8();
    if (opcode === Op.STOP) return { value: stack.finish(), end: reader.position };
    budget.spend(uint8At(COSTS, opcode));
    execute(opcode, reader, stack, host, budget);
  }
}

/** The unpickler's stack with its marks, and its memo. Nothing is popped from below the last mark. */
class PickleStack<H extends object> {
  readonly #reader: PickleReader;
  readonly #items: PickleValue<H>[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue<H>>();

  constructor(reader: PickleReader) {
    this.#reader = reader;
  }

  push(value: PickleValue<H>): void {
    this.#items.push(value);
  }

  top(): PickleValue<H> {
    const value = this.#items.at(-1);
    if (value === undefined || this.#items.length <= (this.#marks.at(-1) ?? 0)) {
      throw this.#reader.problem('takes from an empty stack');
    }
    return value;
  }

  pop(): PickleValue<H> {
    const value = this.top();
    this.#items.pop();
    return value;
  }

  /** The top `count` values, in the order they were pushed. */
  popMany(count: number): PickleValue<H>[] {
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

  popToMark(): PickleValue<H>[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#reader.problem('takes from a mark that was never set');
    return this.#items.splice(mark);
  }

  memoize(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#reader.problem(`recalls value ${index}, which was never stored`);
    this.push(value);
  }

  finish(): PickleValue<H> {
    const value = this.pop();
    if (this.#items.length > 0 || this.#marks.length > 0) throw this.#reader.problem('leaves values over');
    return value;
  }
}

/** Opcodes that give meaning to values, which the host does, and then those that rearrange or push them. */
function execute<H extends object>(
  opcode: number,
  reader: PickleReader,
  stack: PickleStack<H>,
  host: PickleHost<H>,
  budget: PickleBudget,
): void {
  switch (opcode) {
    case Op.APPEND:
      append(reader, stack, [stack.pop()], host);
      break;
    case Op.APPENDS:
    case Op.ADDITEMS:
      append(reader, stack, stack.popToMark(), host);
      break;
    case Op.SETITEM:
      setItems(reader, stack, stack.popMany(2), host);
      break;
    case Op.SETITEMS:
      setItems(reader, stack, stack.popToMark(), host);
      break;
    case Op.GLOBAL:
      stack.push(host.global(reader.line(), reader.line()));
      break;
    case Op.STACK_GLOBAL:
      stackGlobal(reader, stack, host);
      break;
    case Op.REDUCE:
    case Op.NEWOBJ:
      call(reader, stack, host, budget);
      break;
    case Op.NEWOBJ_EX:
      budget.spendOnArguments(stack.pop()); // keyword arguments, which no call here takes
      call(reader, stack, host, budget);
      break;
    case Op.BUILD: {
      const state = stack.pop();
      budget.spendOnArguments(state);
      host.build(stack.top(), state);
      break;
    }
    case Op.BINPERSID:
      stack.push(host.persistent(stack.pop()));
      break;
    default:
      rearrange(opcode, reader, stack);
  }
}

/** Opcodes that frame the pickle, move what is on the stack, or use the memo. */
function rearrange<H extends object>(opcode: number, reader: PickleReader, stack: PickleStack<H>): void {
  switch (opcode) {
    case Op.PROTO:
      checkProtocol(reader);
      break;
    case Op.FRAME:
      reader.frame(reader.uint64());
      break;
    case Op.MARK:
      stack.mark();
      break;
    case Op.POP:
      stack.popItemOrMark();
      break;
    case Op.POP_MARK:
      stack.popToMark();
      break;
    case Op.DUP:
      stack.push(stack.top());
      break;
    case Op.MEMOIZE:
      stack.memoize();
      break;
    case Op.BINPUT:
      stack.memoize(reader.uint8());
      break;
    case Op.LONG_BINPUT:
      stack.memoize(reader.uint32());
      break;
    case Op.BINGET:
      stack.recall(reader.uint8());
      break;
    case Op.LONG_BINGET:
      stack.recall(reader.uint32());
      break;
    default:
      stack.push(scalar(opcode, reader) ?? container(opcode, reader, stack));
  }
}

/** Opcodes that push a number, a text or bytes; undefined for others. */
function scalar(
  opcode: number,
  reader: PickleReader,
): number | bigint | boolean | string | Uint8Array | undefined {
  switch (opcode) {
    case Op.NEWTRUE:
      return true;
    case Op.NEWFALSE:
      return false;
    case Op.BININT:
      return reader.int32();
    case Op.BININT1:
      return reader.uint8();
    case Op.BININT2:
      return reader.uint16();
    case Op.LONG1:
      return reader.long(reader.uint8());
    case Op.LONG4:
      return reader.long(reader.uint32());
    case Op.BINFLOAT:
      return reader.float64();
    case Op.SHORT_BINUNICODE:
    case Op.SHORT_BINSTRING: // a Python 2 string; any that matters here is ASCII
      return reader.text(reader.uint8());
    case Op.BINUNICODE:
    case Op.BINSTRING:
      return reader.text(reader.uint32());
    case Op.BINUNICODE8:
      return reader.text(reader.uint64());
    case Op.SHORT_BINBYTES:
      return reader.bytes(reader.uint8());
    case Op.BINBYTES:
      return reader.bytes(reader.uint32());
    case Op.BINBYTES8:
    case Op.BYTEARRAY8:
      return reader.bytes(reader.uint64());
    default:
      return undefined;
  }
}

/** Opcodes that push `None`, a tuple, a list, a set or a dict. */
function container<H extends object>(
  opcode: number,
  reader: PickleReader,
  stack: PickleStack<H>,
): PickleValue<H> {
  switch (opcode) {
    case Op.NONE:
      return null;
    case Op.EMPTY_TUPLE:
      return Object.freeze([]);
    case Op.TUPLE1:
    case Op.TUPLE2:
    case Op.TUPLE3:
      return Object.freeze(stack.popMany(opcode - Op.TUPLE1 + 1));
    case Op.TUPLE:
    case Op.FROZENSET:
      return Object.freeze(stack.popToMark());
    case Op.EMPTY_LIST:
    case Op.EMPTY_SET:
      return [];
    case Op.LIST:
      return stack.popToMark();
    case Op.EMPTY_DICT:
      return new Map();
    case Op.DICT:
      return withItems(reader, new Map(), stack.popToMark());
    default:
      throw reader.problem(`opcode 0x${opcode.toString(16).padStart(2, '0')} is unknown or not allowed here`);
  }
}

function checkProtocol(reader: PickleReader): void {
  const protocol = reader.uint8();
  if (protocol < 2 || protocol > 5)
    throw reader.problem(`pickle protocol ${protocol} is not known; 2 to 5 are`);
}

function append<H extends object>(
  reader: PickleReader,
  stack: PickleStack<H>,
  items: PickleValue<H>[],
  host: PickleHost<H>,
): void {
  const list = stack.top();
  if (Array.isArray(list) && !Object.isFrozen(list)) for (const item of items) list.push(item);
  else if (isHostObject(list)) host.append(list, items);
  else throw reader.problem('appends to something that is not a list');
}

function isHostObject<H extends object>(value: PickleValue<H>): value is H {
  const isData = Array.isArray(value) || value instanceof Map || value instanceof Uint8Array;
  return typeof value === 'object' && value !== null && !isData;
}

function setItems<H extends object>(
  reader: PickleReader,
  stack: PickleStack<H>,
  items: PickleValue<H>[],
  host: PickleHost<H>,
): void {
  const dict = stack.top();
  if (dict instanceof Map) withItems(reader, dict, items);
  else if (isHostObject(dict)) host.setItems(dict, items);
  else throw reader.problem('sets items of something that is not a dict');
}

function withItems<H extends object>(
  reader: PickleReader,
  dict: Map<PickleValue<H>, PickleValue<H>>,
  items: PickleValue<H>[],
): Map<PickleValue<H>, PickleValue<H>> {
  if (items.length % 2 !== 0) throw reader.problem('a dict key has no value');
  for (let i = 0; i < items.length; i += 2) {
    const key = at(items, i);
    if (key instanceof Map || (Array.isArray(key) && !Object.isFrozen(key))) {
      throw reader.problem('a list or dict cannot be a dict key');
    }
    dict.set(key, at(items, i + 1));
  }
  return dict;
}

function stackGlobal<H extends object>(
  reader: PickleReader,
  stack: PickleStack<H>,
  host: PickleHost<H>,
): void {
  const [module, name] = stack.popMany(2);
  if (typeof module !== 'string' || typeof name !== 'string')
    throw reader.problem('a global is named by no strings');
  stack.push(host.global(module, name));
}

function call<H extends object>(
  reader: PickleReader,
  stack: PickleStack<H>,
  host: PickleHost<H>,
  budget: PickleBudget,
): void {
  const [callee, args] = take(stack.popMany(2), 2);
  if (!Array.isArray(args) || !Object.isFrozen(args)) throw reader.problem('calls something without a tuple');
  budget.spendOnArguments(args);
  stack.push(host.call(callee, args));
}
