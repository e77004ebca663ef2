/** @file The tags of a TIFF file's first image that are numbers of 16 bits. Source: TIFF 6.0, section 2. */

/** Numbers of the tags that are read. */
export const TIFF_TAG = { compression: 259, photometric: 262 } as const;

const SHORT = 3;
const ENTRY = 12;

/** Reads the first value of each tag of type SHORT; empty if this is not a classic TIFF file. */
export function tiffTags(bytes: Uint8Array): ReadonlyMap<number, number> {
  const tags = new Map<number, number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  if (bytes.length < 8 || view.getUint16(2, little) !== 42) return tags;
  const directory = view.getUint32(4, little);
  if (directory + 2 > bytes.length) return tags;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + ENTRY * i;
    if (entry + ENTRY > bytes.length) break;
    if (view.getUint16(entry + 2, little) !== SHORT) continue;
    tags.set(view.getUint16(entry, little), view.getUint16(entry + 8, little));
  }
  return tags;
}
