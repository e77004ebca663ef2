import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { type DType, elementCount, newArray, type Tensor, tensor, tensorBytes } from '../tensor/tensor.ts';
import { encodeNpy, parseNpy } from './npy.ts';

/** A `.npy` file with a hand-written header. */
function npy(header: string, data: ArrayLike<number>, version = 1): Uint8Array {
  const lengthBytes = version === 1 ? 2 : 4;
  const start = 8 + lengthBytes + header.length;
  const out = new Uint8Array(start + data.length);
  out.set([0x93, ...new TextEncoder().encode('NUMPY'), version, 0]);
  out[8] = header.length & 0xff;
  out[9] = header.length >> 8;
  out.set(new TextEncoder().encode(header), 8 + lengthBytes);
  out.set(data, start);
  return out;
}

const header = (descr: string, fortran: boolean, shape: string) =>
  `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }\n`;

const dtypes: DType[] = [
  ...(['bool', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'] as const),
  ...(['float16', 'float32', 'float64'] as const),
];

describe('npy', () => {
  it('gives back what it wrote, for every dtype and shape', () => {
    const shapes = fc.array(fc.nat(4), { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.constantFrom(...dtypes),
        shapes,
        fc.infiniteStream(fc.nat(255)),
        (dtype, shape, noise) => {
          const value: Tensor = { dtype, shape, data: newArray(dtype, elementCount(shape)) };
          const bytes = tensorBytes(value);
          for (let i = 0; i < bytes.length; i++) bytes[i] = dtype === 'bool' ? i % 2 : noise.next().value;
          const back = parseNpy(encodeNpy(value));
          expect([back.dtype, back.shape]).toEqual([dtype, shape]);
          expect(tensorBytes(back)).toEqual(bytes);
        },
      ),
      { numRuns: 60 },
    );
  });

  // np.save of np.arange(3, dtype='<f4'): the exact bytes numpy 2.4 writes
  it('writes the bytes that numpy writes', () => {
    const text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }".padEnd(117);
    const expected = npy(`${text}\n`, tensorBytes(tensor('float32', [3], Float32Array.of(0, 1, 2))));
    expect(encodeNpy(tensor('float32', [3], Float32Array.of(0, 1, 2)))).toEqual(expected);
  });

  // What np.save of NumPy 1.6 under Python 2 wrote: headers end at multiples of 16, 32-bit Pythons write 1L for long.
  it('reads data at any position in a Buffer, and the shapes of Python 2', () => {
    const elements = tensorBytes(tensor('float32', [2, 1], Float32Array.of(1.5, -2)));
    for (let padding = 0; padding < 8; padding++) {
      const text = header('<f4', false, '(2L, 1L)').replace('}', `}${' '.repeat(padding)}`);
      const value = parseNpy(Buffer.from(npy(text, elements)), 'old.npy');
      expect(value).toEqual(tensor('float32', [2, 1], Float32Array.of(1.5, -2)));
    }
    expect(parseNpy(npy(header('<f4', false, '(2L,)'), elements)).shape).toEqual([2]);
    expect(parseNpy(npy(header('<f4', false, '( 1L , 2L )'), elements)).shape).toEqual([1, 2]);
  });

  it('does not change the bytes that it is given', () => {
    const file = Buffer.from(npy(header('|b1', false, '(2,)'), [0, 7]));
    expect(parseNpy(file)).toEqual(tensor('bool', [2], Uint8Array.of(0, 1)));
    expect(file.at(-1)).toBe(7);
  });

  it('reads Fortran order, big-endian numbers, and versions 2 and 3', () => {
    const fortran = parseNpy(npy(header('|u1', true, '(2, 3)'), [0, 3, 1, 4, 2, 5]));
    expect(fortran).toEqual(tensor('uint8', [2, 3], Uint8Array.of(0, 1, 2, 3, 4, 5)));
    const big = parseNpy(npy(header('>i2', false, '(2,)'), [1, 2, 0xff, 0xfe], 2));
    expect(big).toEqual(tensor('int16', [2], Int16Array.of(258, -2)));
    const half = parseNpy(npy(header('<f2', false, '()'), [0, 0x3c], 3));
    expect(half).toEqual(tensor('float16', [], Uint16Array.of(0x3c00)));
    expect(parseNpy(npy(header('|u1', false, '(2L,)'), [7, 8])).shape).toEqual([2]);
  });

  it('writes bfloat16 as float32', () => {
    const back = parseNpy(encodeNpy(tensor('bfloat16', [1], Uint16Array.of(0x3fc0))));
    expect(back).toEqual(tensor('float32', [1], Float32Array.of(1.5)));
  });

  it.each([
    ['no magic', new Uint8Array(40), /is no .npy file/],
    ['version 9', npy(header('<f4', false, '()'), [0, 0, 0, 0], 9), /version 9/],
    ['objects', npy(header('|O', false, '(1,)'), [0]), /type '\|O'/],
    ['records', npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", []), /records/],
    ['too few bytes', npy(header('<f4', false, '(2,)'), [0, 0, 0, 0]), /takes 8 bytes but there are 4/],
    ['too many bytes', npy(header('|u1', false, '(2,)'), [0, 0, 0]), /takes 2 bytes but there are 3/],
    ['an absurd shape', npy(header('|u1', false, '(99999999999, 99999999999)'), []), /implausibly large/],
    ['a huge dimension', npy(header('|u1', false, `(${'9'.repeat(400)},)`), []), /not a valid dimension/],
    ['a cut header', npy(header('|u1', false, '(1,)'), []).subarray(0, 30), /cut off/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseNpy(bytes)).toThrow(FormatError);
    expect(() => parseNpy(bytes)).toThrow(message);
  });
});
