/** @file Files that are often taken for a model: what a failed download leaves, or another format under a wrong name. */

/** Bytes of a file's beginning that are enough to know. */
export const LOOKED_AT = 512;

/** What may be expected of a file. */
type Format = 'safetensors' | 'torch' | 'tensorflow' | 'npz';

interface Kind {
  /** What such files begin with. */
  readonly start: string | RegExp;
  readonly is: string;
  /** Kinds of files for which this is not a mistake. */
  readonly formats?: readonly Format[];
}

const KINDS: readonly Kind[] = [
  {
    start: 'version https://git-lfs.github.com/',
    is: 'is a git-lfs pointer, not the file itself; run git lfs pull in its repository',
  },
  {
    start: /^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<(!doctype html|html|head|body)\b/is,
    is: 'is a web page, so its download failed; get the file itself, perhaps by another link or after signing in',
  },
  { start: /^\s*<(\?xml|error>)/i, is: 'is an XML document, so its download failed; get it again' },
  {
    start: /^\s*[{[].{0,400}"(error|message)"/s,
    is: 'is an error message, so its download failed; get it again',
  },
  { start: '\x89HDF', is: 'is an HDF5 file; convert it with the library that wrote it' },
  {
    start: '\x93NUMPY',
    is: "is a single array (.npy), not an .npz; save it with numpy.savez('NAME.npz', array)",
  },
  { start: /^(\x89PNG|\xff\xd8\xff|GIF8)/, is: 'is an image; give the folder that it is in' },
  { start: 'GGUF', is: 'is a GGUF file, which is not supported' },
  { start: '\x1f\x8b', is: 'is compressed with gzip; unpack it first' },
  { start: '\0'.repeat(64), is: 'begins with zeros, so its download or copy was cut off; get it again' },
  {
    start: 'PK\x03\x04',
    is: 'is a zip archive; if it is a PyTorch checkpoint, its name should end in .pt',
    formats: ['torch', 'npz'],
  },
  {
    start: /^.{5}\0\0\0\{"/s,
    is: 'is a safetensors file; its name should end in .safetensors, and config.json belongs next to it',
    formats: ['safetensors'],
  },
];

/**
 * What a file is that begins with `start` and is not what was expected, with what to do; `undefined` if that is unknown.
 * Made to follow the file's name in a message.
 */
export function mistakenFile(start: Uint8Array, expected: Format): string | undefined {
  if (start.length === 0) return 'is empty, so its download or copy failed; get it again';
  const text = String.fromCharCode(...start.subarray(0, LOOKED_AT));
  const begins = (start: string | RegExp): boolean =>
    typeof start === 'string' ? text.startsWith(start) : start.test(text);
  return KINDS.find(({ start, formats }) => !formats?.includes(expected) && begins(start))?.is;
}
