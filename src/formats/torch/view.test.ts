import { describe, expect, it } from 'vitest';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, tensorBytes } from '../../tensor/tensor.ts';
import { checkView, readView, type StorageFile, type View } from './view.ts';

const view = (shape: number[], strides: number[], offset = 0): View => ({
  dtype: 'float32',
  shape,
  strides,
  offset,
  count: shape.reduce((product, size) => product * size, 1),
});

/** Six numbers, and which bytes of them were read. */
function storage() {
  const source = bytesSource(tensorBytes(float32([6], [0, 1, 2, 3, 4, 5])));
  const reads: [number, number, boolean][] = [];
  const file: StorageFile = {
    size: source.size,
    async readRange(offset, length, room) {
      reads.push([offset, length, room !== undefined]);
      return source.read(offset, length);
    },
  };
  return { file, reads };
}

describe('a view of a storage', () => {
  it.each<[string, View]>([
    ['all of it', view([6], [1])],
    ['its last element', view([], [], 5)],
    ['a transposed part', view([2, 2], [1, 3], 1)],
    ['nothing, wherever that is', view([0, 3], [3, 1], 99)],
    ['one element 16 million times', view([2 ** 24], [0])],
  ])('may be %s', (_, valid) => {
    expect(() => checkView(valid, 24, 'm')).not.toThrow();
  });

  it.each<[string, View, string]>([
    ['fewer strides than axes', view([2, 3], [1]), 'shape [2,3], strides [1] and offset 0 is not valid'],
    ['more strides than axes', view([0], [1, 1]), 'is not valid'],
    ['an element after the last', view([6], [1], 1), 'reaches beyond its storage of 6 elements'],
    ['an element after the last, by strides', view([2, 2], [5, 1]), 'reaches beyond its storage of 6'],
    ['a single element after the last', view([], [], 6), 'reaches beyond its storage of 6'],
    ['an element too many times', view([2 ** 24 + 1], [0]), 'absurdly larger than its storage of 6'],
  ])('may not be %s', (_, bad, message) => {
    expect(() => checkView(bad, 24, 'm')).toThrow(FormatError);
    expect(() => checkView(bad, 24, 'm')).toThrow(message);
  });

  it('may be larger than what is repeated at most, if its storage is', () => {
    const size = 2 ** 24 + 1;
    expect(() => checkView(view([size], [1]), 4 * size, 'm')).not.toThrow();
  });

  it('counts whole elements of the storage only', () => {
    expect(() => checkView(view([6], [1]), 27, 'm')).not.toThrow();
    expect(() => checkView(view([7], [1]), 27, 'm')).toThrow('reaches beyond its storage of 6 elements');
  });

  it('is read in its own bytes alone, into the memory that is given if it is contiguous', async () => {
    const room = new Uint8Array(24);
    const contiguous = storage();
    const read = await readView(view([2, 2], [2, 1], 1), contiguous.file, 'm', room);
    expect(read).toEqual(float32([2, 2], [1, 2, 3, 4]));
    expect(contiguous.reads).toEqual([[4, 16, true]]);
    const strided = storage();
    expect(await readView(view([2, 2], [1, 3], 1), strided.file, 'm', room)).toEqual(
      float32([2, 2], [1, 4, 2, 5]),
    );
    expect(strided.reads).toEqual([[4, 20, false]]);
    const empty = storage();
    expect(await readView(view([0], [1], 99), empty.file, 'm')).toEqual(float32([0], []));
    expect(empty.reads).toEqual([[0, 0, false]]);
  });
});
