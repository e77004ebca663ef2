import { describe, expect, it } from 'vitest';
import { checkpoint, int, pickle, reduce, text, tuple } from '../../../test/support/pickle-writer.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { openTorchCheckpoint, type TorchValue } from './checkpoint.ts';

/**
 * pickle.dumps(v, protocol) in Python, where v is (OrderedDict(a=1), defaultdict(list, b=[2]), Counter('aab'), Counter(), {3},
 * frozenset([4]), set(), b'\xff\0', b'', bytearray(b'\x80'), bytearray(), PurePosixPath('/a/b.txt'), PurePosixPath('c/d')).
 */
const written: Readonly<Record<number, string>> = {
  2:
    'gAIoY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEAKVJxAVgBAAAAYXECSwFzY2NvbGxlY3Rpb25zCmRlZmF1bHRkaWN0CnEDY19fYnVp' +
    'bHRpbl9fCmxpc3QKcQSFcQVScQZYAQAAAGJxB11xCEsCYXNjY29sbGVjdGlvbnMKQ291bnRlcgpxCX1xCihYAQAAAGFxC0sCWAEAAABi' +
    'cQxLAXWFcQ1ScQ5oCX1xD4VxEFJxEWNfX2J1aWx0aW5fXwpzZXQKcRJdcRNLA2GFcRRScRVjX19idWlsdGluX18KZnJvemVuc2V0CnEW' +
    'XXEXSwRhhXEYUnEZaBJdcRqFcRtScRxjX2NvZGVjcwplbmNvZGUKcR1YAwAAAMO/AHEeWAYAAABsYXRpbjFxH4ZxIFJxIWNfX2J1aWx0' +
    'aW5fXwpieXRlcwpxIilScSNjX19idWlsdGluX18KYnl0ZWFycmF5CnEkaB1YAgAAAMKAcSVoH4ZxJlJxJ4VxKFJxKWgkKVJxKmNwYXRo' +
    'bGliClB1cmVQb3NpeFBhdGgKcStYAQAAAC9xLGgCWAUAAABiLnR4dHEth3EuUnEvaCtYAQAAAGNxMFgBAAAAZHExhnEyUnEzdHE0Lg==',
  3:
    'gAMoY2NvbGxlY3Rpb25zCk9yZGVyZWREaWN0CnEAKVJxAVgBAAAAYXECSwFzY2NvbGxlY3Rpb25zCmRlZmF1bHRkaWN0CnEDY2J1aWx0' +
    'aW5zCmxpc3QKcQSFcQVScQZYAQAAAGJxB11xCEsCYXNjY29sbGVjdGlvbnMKQ291bnRlcgpxCX1xCihYAQAAAGFxC0sCWAEAAABicQxL' +
    'AXWFcQ1ScQ5oCX1xD4VxEFJxEWNidWlsdGlucwpzZXQKcRJdcRNLA2GFcRRScRVjYnVpbHRpbnMKZnJvemVuc2V0CnEWXXEXSwRhhXEY' +
    'UnEZaBJdcRqFcRtScRxDAv8AcR1DAHEeY2J1aWx0aW5zCmJ5dGVhcnJheQpxH0MBgHEghXEhUnEiaB8pUnEjY3BhdGhsaWIKUHVyZVBv' +
    'c2l4UGF0aApxJFgBAAAAL3ElaAJYBQAAAGIudHh0cSaHcSdScShoJFgBAAAAY3EpWAEAAABkcSqGcStScSx0cS0u',
  5:
    'gAWV8AAAAAAAAAAojAtjb2xsZWN0aW9uc5SMC09yZGVyZWREaWN0lJOUKVKUjAFhlEsBc2gAjAtkZWZhdWx0ZGljdJSTlIwIYnVpbHRp' +
    'bnOUjARsaXN0lJOUhZRSlIwBYpRdlEsCYXNoAIwHQ291bnRlcpSTlH2UKIwBYZRLAowBYpRLAXWFlFKUaA99lIWUUpSPlChLA5AoSwSR' +
    'lI+UQwL/AJRDAJSWAQAAAAAAAACAlJYAAAAAAAAAAJSMB3BhdGhsaWKUjA1QdXJlUG9zaXhQYXRolJOUjAEvlGgEjAViLnR4dJSHlFKU' +
    'aCGMAWOUjAFklIaUUpR0lC4=',
};

async function open(bytes: Uint8Array): Promise<TorchValue> {
  return (await openTorchCheckpoint(bytesSource(await checkpoint(bytes), 'm.pt'))).value;
}

describe("Python's containers and plain data", () => {
  it.each([2, 3, 5])('are what Python wrote in protocol %i', async (protocol) => {
    expect(await open(Buffer.from(written[protocol], 'base64'))).toEqual([
      new Map([['a', 1]]),
      new Map([['b', [2]]]),
      new Map([
        ['a', 2],
        ['b', 1],
      ]),
      new Map(),
      [3],
      [4],
      [],
      Uint8Array.of(0xff, 0),
      new Uint8Array(),
      Uint8Array.of(0x80),
      new Uint8Array(),
      '/a/b.txt',
      'c/d',
    ]);
  });

  it('may be made without arguments, or with an encoding', async () => {
    const made = (name: string, ...args: string[]): string => reduce('builtins', name, tuple(...args));
    const values = tuple(
      reduce('collections', 'Counter', ')'),
      made('set'),
      made('bytes'),
      made('bytearray', text('\xc3\xbf'), text('latin-1')), // U+00FF
      reduce('pathlib', 'PurePosixPath', ')'),
    );
    expect(await open(pickle(values))).toEqual([new Map(), [], new Uint8Array(), Uint8Array.of(0xff), '']);
  });

  it.each<[string, string, RegExp]>([
    [
      'an OrderedDict of items',
      reduce('collections', 'OrderedDict', tuple(']')),
      /made with items as arguments/,
    ],
    [
      'a defaultdict of items',
      reduce('collections', 'defaultdict', tuple('N', '}')),
      /made with items as arguments/,
    ],
    ['a Counter of a list', reduce('collections', 'Counter', tuple(']')), /a Counter is made from no dict/],
    ['a set of a number', reduce('builtins', 'set', tuple(int(1))), /a set is made from no list/],
    ['another encoding', reduce('_codecs', 'encode', tuple(text('a'), text('utf8'))), /latin1 text only/],
    ['a number as text', reduce('_codecs', 'encode', tuple(int(1), text('latin1'))), /latin1 text only/],
    [
      'text that is not Latin-1',
      reduce('_codecs', 'encode', tuple(text('\xc4\x80'), text('latin1'))),
      /is none/,
    ],
    [
      'a path with a number',
      reduce('pathlib', 'PurePosixPath', tuple(text('a'), int(1))),
      /parts that are no strings/,
    ],
  ])('are refused: %s', async (_, code, message) => {
    await expect(open(pickle(code))).rejects.toThrow(FormatError);
    await expect(open(pickle(code))).rejects.toThrow(message);
  });
});
