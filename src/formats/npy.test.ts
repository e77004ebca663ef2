import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { type DType, elementCount, newArray, type Tensor, tensor, tensorBytes } from '../tensor/tensor.ts';
import { encodeNpy, encodeNpyText, isNumpyType, parseNpy, parseNpyText } from './npy.ts';

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

  it('reads the longest header that numpy reads', () => {
    expect(parseNpy(npy(header('|u1', false, '()').padEnd(10_000), [5])).data).toEqual(Uint8Array.of(5));
  });

  it('keeps arrays of Fortran order with one axis, and reorders those with more', () => {
    expect(parseNpy(npy(header('|u1', true, '(3,)'), [1, 2, 3]))).toEqual(
      tensor('uint8', [3], Uint8Array.of(1, 2, 3)),
    );
    // np.asfortranarray(np.arange(8).reshape(2, 2, 2)).ravel('K')
    expect(parseNpy(npy(header('|u1', true, '(2, 2, 2)'), [0, 4, 2, 6, 1, 5, 3, 7]))).toEqual(
      tensor('uint8', [2, 2, 2], Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7)),
    );
  });

  it('swaps the bytes of big-endian numbers of every size', () => {
    expect(parseNpy(npy(header('>u4', false, '(1,)'), [1, 2, 3, 4])).data).toEqual(
      Uint32Array.of(0x01020304),
    );
    expect(parseNpy(npy(header('>i8', false, '(1,)'), [0, 0, 0, 0, 0, 0, 1, 2])).data).toEqual(
      BigInt64Array.of(258n),
    );
    expect(parseNpy(npy(header('>f8', false, '(1,)'), [63, 248, 0, 0, 0, 0, 0, 0])).data).toEqual(
      Float64Array.of(1.5),
    );
  });

  it('knows the types that it reads', () => {
    expect(['f4', 'b1', 'u8'].every(isNumpyType)).toBe(true);
    expect(['c8', 'O', '<f4', ''].some(isNumpyType)).toBe(false);
  });

  it('writes bfloat16 as float32', () => {
    const back = parseNpy(encodeNpy(tensor('bfloat16', [1], Uint16Array.of(0x3fc0))));
    expect(back).toEqual(tensor('float32', [1], Float32Array.of(1.5)));
  });

  it.each([
    ['no magic', new Uint8Array(40), /is not a .npy file/],
    ['version 9', npy(header('<f4', false, '()'), [0, 0, 0, 0], 9), /version 9/],
    ['objects', npy(header('|O', false, '(1,)'), [0]), /type '\|O'/],
    ['records', npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", []), /records/],
    ['too few bytes', npy(header('<f4', false, '(2,)'), [0, 0, 0, 0]), /takes 8 bytes but there are 4/],
    ['too many bytes', npy(header('|u1', false, '(2,)'), [0, 0, 0]), /takes 2 bytes but there are 3/],
    ['an absurd shape', npy(header('|u1', false, '(99999999999, 99999999999)'), []), /implausibly large/],
    ['a huge dimension', npy(header('|u1', false, `(${'9'.repeat(400)},)`), []), /not a valid dimension/],
    ['nothing', new Uint8Array(0), /is not a .npy file/],
    ['a beginning', npy(header('<f4', false, '()'), []).subarray(0, 9), /is not a .npy file/],
    ['version 0', npy(header('<f4', false, '()'), [0, 0, 0, 0], 0), /version 0/],
    ['a cut length', npy(header('<f4', false, '()'), [0, 0, 0, 0], 2).subarray(0, 11), /cut off/],
    ['a header of 10,001 bytes', npy(header('|u1', false, '()').padEnd(10_001), [1]), /absurdly long/],
    ['no order', npy("{'descr': '<f4', 'shape': ()}", [0, 0, 0, 0]), /lacks descr, fortran_order or shape/],
    ['no shape', npy("{'descr': '<f4', 'fortran_order': False}", [0, 0, 0, 0]), /lacks descr/],
    ['complex numbers', npy(header('<c8', false, '()'), Array(8).fill(0)), /type '<c8' cannot be read/],
    ['a type without an order', npy(header('xf4', false, '()'), [0, 0, 0, 0]), /type 'xf4' cannot be read/],
    ['a cut header', npy(header('|u1', false, '(1,)'), []).subarray(0, 30), /cut off/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseNpy(bytes)).toThrow(FormatError);
    expect(() => parseNpy(bytes)).toThrow(message);
  });
});

describe('a text', () => {
  it.each(['', 'inception', 'café 猫', '👍'])('comes back as it was: %s', (text) => {
    expect(parseNpyText(encodeNpyText(text))).toBe(text);
  });

  it('is one string of either kind and byte order, without the zeros that pad it', () => {
    // np.save of np.array('ab', dtype='<U3'), '>U3' and 'S3'
    const little = [97, 0, 0, 0, 98, 0, 0, 0, 0, 0, 0, 0];
    expect(parseNpyText(npy(header('<U3', false, '()'), little))).toBe('ab');
    expect(parseNpyText(npy(header('>U3', false, '()'), [0, 0, 0, 97, 0, 0, 0, 98, 0, 0, 0, 0]))).toBe('ab');
    expect(parseNpyText(npy(header('|S3', false, '(1,)'), [97, 98, 0]))).toBe('ab');
  });

  it.each([
    [
      'several',
      npy(header('|S1', false, '(2,)'), [97, 98]),
      /expected one text, got .*'\|S1' and shape \[2\]/,
    ],
    ['a number', npy(header('<f4', false, '()'), [0, 0, 0, 0]), /expected one text, got .*'<f4'/],
    ['a cut one', npy(header('<U2', false, '()'), [97, 0, 0, 0]), /a text of 8 bytes has 4/],
    ['a character beyond Unicode', npy(header('<U1', false, '()'), [0, 0, 17, 0]), /no valid Unicode/],
  ])('is not %s', (_, bytes, message) => {
    expect(() => parseNpyText(bytes)).toThrow(FormatError);
    expect(() => parseNpyText(bytes)).toThrow(message);
  });
});
