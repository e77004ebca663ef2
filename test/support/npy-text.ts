/** @file Texts as NumPy writes them. */

/** A `.npy` file of one text, as UCS-4 (`<U`) or bytes (`|S`). */
export function npyText(text: string, kind: 'U' | 'S' = 'U', shape = '()'): Uint8Array {
  const header = `{'descr': '${kind === 'U' ? '<' : '|'}${kind}${text.length}', 'fortran_order': False, 'shape': ${shape}, }\n`;
  const content = kind === 'S' ? Buffer.from(text) : Buffer.from(Uint32Array.from(text, codePoint).buffer);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(header), content]);
}

function codePoint(character: string): number {
  return character.codePointAt(0) ?? 0;
}
