import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { encodeSafetensors, openSafetensors } from '../formats/safetensors.ts';
import { openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { float32 } from '../tensor/tensor.ts';
import { bytesSource } from './byte-source.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

const files: [what: string, content: Uint8Array, message: RegExp][] = [
  ['an empty file', new Uint8Array(0), /^m: is empty, so its download or copy failed/],
  ['a file of zeros', new Uint8Array(5000), /^m: (begins with zeros|its safetensors header)/],
  [
    'a git-lfs pointer',
    bytes('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 2699510526\n'),
    /^m: is a git-lfs pointer, .* run git lfs pull/,
  ],
  [
    'a web page',
    bytes('<!doctype html><html><head><title>Sign in</title>'),
    /is a web page, so its download failed/,
  ],
  ['a web page with a comment', bytes('\n<!-- x -->\n<HTML lang="en">'), /is a web page/],
  [
    'a page of XHTML',
    bytes('<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML">'),
    /is a web page/,
  ],
  ["a storage's error", bytes('<?xml version="1.0"?><Error><Code>AccessDenied</Code>'), /is an XML document/],
  ["a server's error", bytes('{"error": "Entry not found"}'), /is an error message/],
  [
    'a gzip file',
    bytes('\x1f\x8b\x08\x00 and so on, for a while'),
    /is compressed with gzip; unpack it first/,
  ],
];

describe.each([
  ['PyTorch checkpoint', openTorchCheckpoint],
  ['safetensors file', openSafetensors],
] as const)('instead of a %s', (_, open) => {
  it.each(files)('%s is named', async (_name, content, message) => {
    const opening = open(bytesSource(content, 'm'));
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(FormatError);
  });
});

it('distinguishes the two formats', async () => {
  const safetensors = encodeSafetensors([['a', float32([1], [1])]]);
  await expect(openTorchCheckpoint(bytesSource(safetensors, 'm.pt'))).rejects.toThrow(
    /is a safetensors file/,
  );
  const zip = bytes(`PK\x03\x04${'x'.repeat(100)}`);
  await expect(openSafetensors(bytesSource(zip, 'm'))).rejects.toThrow(/is a zip archive; if .* end in .pt/);
});
