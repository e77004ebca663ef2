/** @file Writing pickles (protocol 2, which every Python 3 and every PyTorch reads), opcode by opcode. */

const PROTOCOL = 2;
const SHORT_TUPLES = [')', '\x85', '\x86', '\x87'];

/** `None`, a bool, an int (a whole number up to 2^53), another number as a float, or a str. */
type Plain = null | boolean | number | string;

/** Writes one value. Lists and dicts get a function that writes what is in them. */
export class PickleWriter {
  readonly #out: number[] = [0x80, PROTOCOL];
  /** Texts and globals that were written before, by what they are. */
  readonly #memo = new Map<string, number>();

  /** Ends the pickle and returns its bytes. */
  finish(): Uint8Array {
    this.opcode('.');
    return Uint8Array.from(this.#out);
  }

  /** An opcode by the character that it is in Python's `pickle.py`. */
  opcode(character: string): void {
    this.#out.push(character.charCodeAt(0));
  }

  plain(value: Plain): void {
    if (value === null) this.opcode('N');
    else if (typeof value === 'boolean') this.opcode(value ? '\x88' : '\x89');
    else if (typeof value === 'number') this.#number(value);
    else this.#remembered(`text ${value}`, () => this.#text(value));
  }

  /** A class or function by its module and name. */
  global(module: string, name: string): void {
    const lines = `${module}\n${name}\n`;
    this.#remembered(`global ${lines}`, () => this.#bytes(...new TextEncoder().encode(`c${lines}`)));
  }

  /** A tuple of plain items, and of others, which their functions write. */
  tuple(items: readonly (Plain | (() => void))[]): void {
    if (items.length >= SHORT_TUPLES.length) this.opcode('(');
    for (const item of items) {
      if (typeof item === 'function') item();
      else this.plain(item);
    }
    this.opcode(SHORT_TUPLES[items.length] ?? 't');
  }

  /** What a class or function makes of no arguments. */
  callOf(module: string, name: string): void {
    this.global(module, name);
    this.tuple([]);
    this.opcode('R');
  }

  list<T>(items: readonly T[], write: (item: T) => void): void {
    this.opcode(']');
    this.opcode('(');
    for (const item of items) write(item);
    this.opcode('e');
  }

  dict<T>(entries: ReadonlyMap<string | number, T>, write: (item: T) => void): void {
    this.opcode('}');
    this.setItems(entries, write);
  }

  /** Sets items of the dict that was written last. */
  setItems<T>(entries: ReadonlyMap<string | number, T>, write: (item: T) => void): void {
    this.opcode('(');
    for (const [key, item] of entries) {
      this.plain(key);
      write(item);
    }
    this.opcode('u');
  }

  #bytes(...bytes: number[]): void {
    this.#out.push(...bytes);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      this.opcode('G');
      this.#eightBytes((view) => view.setFloat64(0, value));
    } else if (value >= 0 && value <= 0xff) this.#bytes('K'.charCodeAt(0), value);
    else if (value >= 0 && value <= 0xffff) this.#bytes('M'.charCodeAt(0), value & 0xff, value >> 8);
    else if (value === (value | 0)) this.#word('J', value);
    else {
      this.#bytes(0x8a, 8);
      this.#eightBytes((view) => view.setBigInt64(0, BigInt(value), true));
    }
  }

  #eightBytes(fill: (view: DataView) => void): void {
    const bytes = new Uint8Array(8);
    fill(new DataView(bytes.buffer));
    this.#bytes(...bytes);
  }

  #text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.#word('X', bytes.length);
    for (const byte of bytes) this.#out.push(byte);
  }

  /** An opcode with a number of 32 bits. */
  #word(character: string, value: number): void {
    this.opcode(character);
    this.#bytes(...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
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
    if (index <= 0xff) this.#bytes(short.charCodeAt(0), index);
    else this.#word(long, index);
  }
}
