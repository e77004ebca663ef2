import { describe, expect, it } from 'vitest';
import { checkpoint } from '../../../test/support/pickle-writer.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, tensor } from '../../tensor/tensor.ts';
import { openTorchCheckpoint, stateDict, type TorchValue } from './checkpoint.ts';
import {
  arrayFromBuffer,
  makeDtype,
  makeEmptyArray,
  makeScalar,
  setArrayState,
  setDtypeState,
} from './numpy-pickle.ts';

/**
 * pickle.dumps in Python, with NumPy 1.24, of (float64(1.5), int64(-7), int64(2**62), float16(0.5), bool_(True), bool_(False),
 * uint8(1), float32(0.25), datetime64('2020-01-01')).
 */
const scalars =
  'gAIoY251bXB5LmNvcmUubXVsdGlhcnJheQpzY2FsYXIKcQBjbnVtcHkKZHR5cGUKcQFYAgAAAGY4cQKJiIdxA1JxBChLA1gBAAAAPHEFTk' +
  '5OSv////9K/////0sAdHEGYmNfY29kZWNzCmVuY29kZQpxB1gJAAAAAAAAAAAAw7g/cQhYBgAAAGxhdGluMXEJhnEKUnELhnEMUnENaABo' +
  'AVgCAAAAaThxDomIh3EPUnEQKEsDaAVOTk5K/////0r/////SwB0cRFiaAdYEAAAAMO5w7/Dv8O/w7/Dv8O/w79xEmgJhnETUnEUhnEVUn' +
  'EWaABoEGgHWAgAAAAAAAAAAAAAQHEXaAmGcRhScRmGcRpScRtoAGgBWAIAAABmMnEciYiHcR1ScR4oSwNoBU5OTkr/////Sv////9LAHRx' +
  'H2JoB1gCAAAAADhxIGgJhnEhUnEihnEjUnEkaABoAVgCAAAAYjFxJYmIh3EmUnEnKEsDWAEAAAB8cShOTk5K/////0r/////SwB0cSliaA' +
  'dYAQAAAAFxKmgJhnErUnEshnEtUnEuaABoJ2gHWAEAAAAAcS9oCYZxMFJxMYZxMlJxM2gAaAFYAgAAAHUxcTSJiIdxNVJxNihLA2goTk5O' +
  'Sv////9K/////0sAdHE3YmgshnE4UnE5aABoAVgCAAAAZjRxOomIh3E7UnE8KEsDaAVOTk5K/////0r/////SwB0cT1iaAdYBQAAAAAAwo' +
  'A+cT5oCYZxP1JxQIZxQVJxQmgAaAFYAgAAAE04cUOJiIdxRFJxRShLBGgFTk5OSv////9K/////0sAfXFGKGgHWAEAAABEcUdoCYZxSFJx' +
  'SUsBSwFLAXRxSoZxS3RxTGJoB1gIAAAAVkcAAAAAAABxTWgJhnFOUnFPhnFQUnFRdHFSLg==';

/**
 * The same of the arrays c = arange(6, dtype='int16').reshape(2, 3), f = asfortranarray(c), big = arange(2, dtype='>i4'),
 * b = array([True, False]), e = zeros((0, 2)) and d = array(['2020-01-01'], dtype='M8[D]').
 */
const arrays: Readonly<Record<number, string>> = {
  2:
    'gAJ9cQAoWAEAAABjcQFjbnVtcHkuY29yZS5tdWx0aWFycmF5Cl9yZWNvbnN0cnVjdApxAmNudW1weQpuZGFycmF5CnEDSwCFcQRjX2Nv' +
    'ZGVjcwplbmNvZGUKcQVYAQAAAGJxBlgGAAAAbGF0aW4xcQeGcQhScQmHcQpScQsoSwFLAksDhnEMY251bXB5CmR0eXBlCnENWAIAAABp' +
    'MnEOiYiHcQ9ScRAoSwNYAQAAADxxEU5OTkr/////Sv////9LAHRxEmKJaAVYDAAAAAAAAQACAAMABAAFAHETaAeGcRRScRV0cRZiWAEA' +
    'AABmcRdoAmgDSwCFcRhoCYdxGVJxGihLAUsCSwOGcRtoEIhoBVgMAAAAAAADAAEABAACAAUAcRxoB4ZxHVJxHnRxH2JYAwAAAGJpZ3Eg' +
    'aAJoA0sAhXEhaAmHcSJScSMoSwFLAoVxJGgNWAIAAABpNHEliYiHcSZScScoSwNYAQAAAD5xKE5OTkr/////Sv////9LAHRxKWKJaAVY' +
    'CAAAAAAAAAAAAAABcSpoB4ZxK1JxLHRxLWJYAQAAAGJxLmgCaANLAIVxL2gJh3EwUnExKEsBSwKFcTJoDVgCAAAAYjFxM4mIh3E0UnE1' +
    'KEsDWAEAAAB8cTZOTk5K/////0r/////SwB0cTdiiWgFWAIAAAABAHE4aAeGcTlScTp0cTtiWAEAAABlcTxoAmgDSwCFcT1oCYdxPlJx' +
    'PyhLAUsASwKGcUBoDVgCAAAAZjhxQYmIh3FCUnFDKEsDaBFOTk5K/////0r/////SwB0cURiiWNfX2J1aWx0aW5fXwpieXRlcwpxRSlS' +
    'cUZ0cUdiWAEAAABkcUhoAmgDSwCFcUloCYdxSlJxSyhLAUsBhXFMaA1YAgAAAE04cU2JiIdxTlJxTyhLBGgRTk5OSv////9K/////0sA' +
    'fXFQKGgFWAEAAABEcVFoB4ZxUlJxU0sBSwFLAXRxVIZxVXRxVmKJaAVYCAAAAFZHAAAAAAAAcVdoB4ZxWFJxWXRxWmJ1Lg==',
  5:
    'gAWVFwIAAAAAAAB9lCiMAWOUjBJudW1weS5jb3JlLm51bWVyaWOUjAtfZnJvbWJ1ZmZlcpSTlCiWDAAAAAAAAAAAAAEAAgADAAQABQCU' +
    'jAVudW1weZSMBWR0eXBllJOUjAJpMpSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRiSwJLA4aUjAFDlHSUUpSMAWaUaAQolgwA' +
    'AAAAAAAAAAADAAEABAACAAUAlGgLSwJLA4aUjAFGlHSUUpSMA2JpZ5RoBCiWCAAAAAAAAAAAAAAAAAAAAZRoCIwCaTSUiYiHlFKUKEsD' +
    'jAE+lE5OTkr/////Sv////9LAHSUYksChZRoD3SUUpSMAWKUaAQolgIAAAAAAAAAAQCUaAiMAmIxlImIh5RSlChLA4wBfJROTk5K////' +
    '/0r/////SwB0lGJLAoWUaA90lFKUjAFllGgEKJYAAAAAAAAAAJRoCIwCZjiUiYiHlFKUKEsDaAxOTk5K/////0r/////SwB0lGJLAEsC' +
    'hpRoD3SUUpSMAWSUjBVudW1weS5jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5RoBowHbmRhcnJheZSTlEsAhZRDAWKUh5RS' +
    'lChLAUsBhZRoCIwCTTiUiYiHlFKUKEsEaAxOTk5K/////0r/////SwB9lChDAUSUSwFLAUsBdJSGlHSUYolDCFZHAAAAAAAAlHSUYnUu',
};

async function open(base64: string): Promise<TorchValue> {
  const bytes = await checkpoint(Buffer.from(base64, 'base64'));
  return (await openTorchCheckpoint(bytesSource(bytes, 'm.pt'))).value;
}

const dtype = (code: string, order = '<') => {
  const made = makeDtype([code], 'm');
  setDtypeState(made, [3, order], 'm');
  return made;
};

describe('what NumPy pickles', () => {
  it('has the scalars that it wrote; a date is its type', async () => {
    expect(await open(scalars)).toEqual([
      1.5,
      -7,
      2n ** 62n,
      0.5,
      true,
      false,
      1,
      0.25,
      { kind: 'numpy-dtype', code: 'M8', order: '<' },
    ]);
  });

  it.each([2, 5])('has the arrays that it wrote in protocol %i', async (protocol) => {
    const archive = stateDict(await open(arrays[protocol]));
    const rows = tensor('int16', [2, 3], Int16Array.of(0, 1, 2, 3, 4, 5));
    const expected = {
      c: rows,
      f: rows,
      big: tensor('int32', [2], Int32Array.of(0, 1)),
      b: tensor('bool', [2], Uint8Array.of(1, 0)),
      e: tensor('float64', [0, 2], new Float64Array()),
    };
    expect(archive.names).toEqual([...Object.keys(expected), 'd']);
    for (const [name, value] of Object.entries(expected)) {
      expect(archive.info(name)).toEqual({ dtype: value.dtype, shape: value.shape });
      expect(await archive.read(name)).toEqual(value);
    }
    await expect(archive.read('d')).rejects.toThrow(
      "m.pt: holds a NumPy array of type 'M8', which cannot be read",
    );
    expect(archive.info('d')).toEqual({ dtype: 'uint8', shape: [0] });
  });

  it('may be changed once it is read', async () => {
    const array = arrayFromBuffer([new Uint8Array(Float32Array.of(1, 2).buffer), dtype('f4'), [2], 'C'], 'm');
    const first = await array.read();
    (first.data as Float32Array).fill(9);
    expect(await array.read()).toEqual(float32([2], [1, 2]));
    expect(array.strides).toEqual([1]);
  });

  it('is empty until its state is set', async () => {
    const array = makeEmptyArray();
    expect(await array.read()).toEqual(tensor('uint8', [0], new Uint8Array()));
    expect(array.shape).toEqual([0]);
    setArrayState(array, [1, [1], dtype('i2', '>'), false, Uint8Array.of(1, 2)], 'm');
    expect(await array.read()).toEqual(tensor('int16', [1], Int16Array.of(0x102)));
  });

  const bytes = new Uint8Array(8);
  it.each<[string, () => unknown]>([
    ['a dtype without a name', () => makeDtype([8], 'm')],
    ['a dtype whose order is not a text', () => setDtypeState(makeDtype(['f8'], 'm'), [3, 1], 'm')],
    ['a dtype whose state is not a list', () => setDtypeState(makeDtype(['f8'], 'm'), 'x<', 'm')],
    ['a scalar without a dtype', () => makeScalar(['f8', bytes], 'm')],
    ['a scalar of null', () => makeScalar([null, bytes], 'm')],
    [
      'a scalar of another object',
      () => makeScalar([{ kind: 'tensor', code: 'f8', order: '<' }, bytes], 'm'),
    ],
    ['a scalar without bytes', () => makeScalar([dtype('f8'), 'abcdefgh'], 'm')],
    ['an array without a shape', () => arrayFromBuffer([bytes, dtype('f8'), 1, 'C'], 'm')],
    ['an array without bytes', () => arrayFromBuffer([null, dtype('f8'), [1], 'C'], 'm')],
    ['an array whose state is not a list', () => setArrayState(makeEmptyArray(), null, 'm')],
  ])('is refused: %s', (_, make) => {
    expect(make).toThrow(FormatError);
  });
});
