/**
 * @file Elements of lists that are known to be there: reading one that is not throws, instead of giving `undefined`.
 *
 * `at` and `take` read lists of every kind. Loops over many numbers use the function of their element type: V8
 * compiles each for one kind of array, while in `at`, which sees all kinds, an element costs about 20 ns. The few
 * innermost loops, whose condition is the bound, index directly.
 */

/**
 * Returns the element at `index`; a negative index counts from the end.
 * @throws {RangeError} if there is none.
 */
export function at<T>(list: ArrayLike<T>, index: number): T {
  const element = list[index < 0 ? index + list.length : index];
  return element === undefined ? outside(list, index) : element;
}

/**
 * Returns the first elements as a tuple, such as the dimensions of a shape.
 * @throws {RangeError} if there are fewer than `count`.
 */
export function take<T, Count extends keyof Tuples<T>>(list: readonly T[], count: Count): Tuples<T>[Count] {
  if (list.length < count) outside(list, count - 1);
  return list as readonly unknown[] as Tuples<T>[Count];
}

/**
 * Returns the value of a key.
 * @throws {RangeError} if there is none.
 */
export function get<T>(record: Readonly<Record<string, T>>, key: string): T {
  const value = record[key];
  if (value === undefined) throw new RangeError(`'${key}' is not among ${Object.keys(record).join(', ')}`);
  return value;
}

interface Tuples<T> {
  1: readonly [T, ...T[]];
  2: readonly [T, T, ...T[]];
  3: readonly [T, T, T, ...T[]];
  4: readonly [T, T, T, T, ...T[]];
  5: readonly [T, T, T, T, T, ...T[]];
}

/** Returns the value at `index`. @throws {RangeError} if there is none. */
export function float32At(values: Float32Array, index: number): number {
  return values[index] ?? outside(values, index);
}

/** Returns the value at `index`, of either precision. @throws {RangeError} if there is none. */
export function floatAt(values: Float32Array | Float64Array, index: number): number {
  return values[index] ?? outside(values, index);
}

/** Returns the value at `index`. @throws {RangeError} if there is none. */
export function float64At(values: Float64Array, index: number): number {
  return values[index] ?? outside(values, index);
}

/** Returns the byte at `index`. @throws {RangeError} if there is none. */
export function uint8At(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? outside(bytes, index);
}

/** Returns the value at `index`. @throws {RangeError} if there is none. */
export function uint32At(values: Uint32Array, index: number): number {
  return values[index] ?? outside(values, index);
}

/** Returns the value at `index`. @throws {RangeError} if there is none. */
export function int32At(values: Int32Array, index: number): number {
  return values[index] ?? outside(values, index);
}

function outside({ length }: ArrayLike<unknown>, index: number): never {
  throw new RangeError(`index ${index} is outside a list of ${length}`);
}
