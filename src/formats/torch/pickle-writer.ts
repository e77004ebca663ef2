/** @file Writing pickles (protocol 2, which every Python 3 and every PyTorch reads) of plain data and named objects. */

/** A value to pickle: lists are arrays, dicts Maps, and whole numbers up to 2^53 are ints. */
export type Picklable =
  | null
  | boolean
  | number
  | string
  | readonly Picklable[]
  | ReadonlyMap<string, Picklable>
  | PickleObject;

export type PickleObject =
  | { readonly kind: 'tuple'; readonly items: readonly Picklable[] }
  | PickleGlobal
  | PickleCall
  /** An object that is stored outside the pickle. */
  | { readonly kind: 'persistent'; readonly id: Picklable };

/** A class or function by its module and name. */
export interface PickleGlobal {
  readonly kind: 'global';
  readonly module: string;
  readonly name: string;
}

/** What a class or function makes of arguments; then `state` becomes its attributes. */
export interface PickleCall {
  readonly kind: 'call';
  readonly callee: PickleGlobal;
  readonly args: readonly Picklable[];
  /** Entries to set, as of an OrderedDict. */
  readonly items?: ReadonlyMap<string, Picklable>;
  readonly state?: ReadonlyMap<string, Picklable>;
}

export function tuple(...items: Picklable[]): PickleObject {
  return { kind: 'tuple', items };
}

export function global(module: string, name: string): PickleGlobal {
  return { kind: 'global', module, name };
}

const PROTOCOL = 2;
const SHORT_TUPLES = [')', '\x85', '\x86', '\x87'];

/** The bytes of a pickle that builds `value`. */
export function encodePickle(value: Picklable): Uint8Array {
  const writer = new PickleWriter();
  writer.bytes(0x80, PROTOCOL);
  writer.value(value);
  writer.opcode('.');
  return Uint8Array.from(writer.out);
}

class PickleWriter {
  readonly out: number[] = [];
  /** Texts and globals that were written before, by what they are. */
  readonly #memo = new Map<string, number>();

  bytes(...bytes: number[]): void {
    this.out.push(...bytes);
  }

  /** An opcode by the character that it is in Python's `pickle.py`. */
  opcode(character: string): void {
    this.out.push(character.charCodeAt(0));
  }

  value(value: Picklable): void {
    if (value === null) this.opcode('N');
    else if (typeof value === 'boolean') this.opcode(value ? '\x88' : '\x89');
    else if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#remembered(`text ${value}`, () => this.#text(value));
    else if (value instanceof Map) this.#dict(value);
    else if (Array.isArray(value)) this.#list(value);
    else this.#object(value as PickleObject);
  }

  #object(object: PickleObject): void {
    if (object.kind === 'tuple') this.#tuple(object.items);
    else if (object.kind === 'call') this.#call(object);
    else if (object.kind === 'global') {
      const name = `${object.module}\n${object.name}\n`;
      this.#remembered(`global ${name}`, () => this.bytes(...new TextEncoder().encode(`c${name}`)));
    } else {
      this.value(object.id);
      this.opcode('Q');
    }
  }

  #call({ callee, args, items, state }: PickleCall): void {
    this.value(callee);
    this.#tuple(args);
    this.opcode('R');
    if (items) this.#setItems(items);
    if (state) {
      this.#dict(state);
      this.opcode('b');
    }
  }

  #tuple(items: readonly Picklable[]): void {
    if (items.length >= SHORT_TUPLES.length) this.opcode('(');
    for (const item of items) this.value(item);
    this.opcode(SHORT_TUPLES[items.length] ?? 't');
  }

  #list(items: readonly Picklable[]): void {
    this.opcode(']');
    this.opcode('(');
    for (const item of items) this.value(item);
    this.opcode('e');
  }

  #dict(entries: ReadonlyMap<string, Picklable>): void {
    this.opcode('}');
    this.#setItems(entries);
  }

  #setItems(entries: ReadonlyMap<string, Picklable>): void {
    this.opcode('(');
    for (const [key, item] of entries) {
      this.value(key);
      this.value(item);
    }
    this.opcode('u');
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.opcode('G');
      this.#eightBytes((view) => view.setFloat64(0, value));
    } else if (value >= 0 && value <= 0xff) this.bytes('K'.charCodeAt(0), value);
    else if (value >= 0 && value <= 0xffff) this.bytes('M'.charCodeAt(0), value & 0xff, value >> 8);
    else if (value === (value | 0)) this.#word('J', value);
    else {
      this.bytes(0x8a, 8);
      this.#eightBytes((view) => view.setBigInt64(0, BigInt(value), true));
    }
  }

  #eightBytes(fill: (view: DataView) => void): void {
    const bytes = new Uint8Array(8);
    fill(new DataView(bytes.buffer));
    this.bytes(...bytes);
  }

  #text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.#word('X', bytes.length);
    for (const byte of bytes) this.out.push(byte);
  }

  /** An opcode with a number of 32 bits. */
  #word(character: string, value: number): void {
    this.opcode(character);
    this.bytes(...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
  }

  #remembered(key: string, write: () => void): void {
    const known = this.#memo.get(key);
    if (known === undefined) {
      write();
      this.#memoOpcode('q', 'r', this.#memo.size);
      this.#memo.set(key, this.#memo.size);
    } else this.#memoOpcode('h', 'j', known);
  }

  #memoOpcode(short: string, long: string, index: number): void {
    if (index <= 0xff) this.bytes(short.charCodeAt(0), index);
    else this.#word(long, index);
  }
}
