import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { FormatError } from '../errors.ts';
import { openFile } from '../io/file-source.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import { openChecksummedSafetensors, writeChecksummedSafetensors } from './checksummed-safetensors.ts';
import { openSafetensors } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

const values = float32([3, 2], Float32Array.of(0.5, -1, 2, 3, 1e-3, 7));
const labels = tensor('int32', [3], Int32Array.of(4, 0, 1));
let path: string;
beforeEach(async () => {
  path = join(temporaryFolder(), 'x.safetensors');
  await writeChecksummedSafetensors(
    path,
    [
      ['values', values],
      ['labels', labels],
    ],
    { step: '12' },
    ['values'],
  );
});

/** Reads all there is. @returns the metadata that was given, and the values */
async function readAll() {
  const archive = await openChecksummedSafetensors(await openFile(path));
  try {
    const rows = await archive.readRows('values', 1, 2);
    const read = [await archive.read('values'), await archive.read('labels')];
    return { step: archive.metadata.step, rows: [...rows.data], read: read.map(({ data }) => [...data]) };
  } finally {
    await archive.close();
  }
}

describe('a checksummed safetensors file', () => {
  it('is read back, also as an ordinary one', async () => {
    expect(await readAll()).toEqual({
      step: '12',
      rows: [2, 3, Math.fround(1e-3), 7],
      read: [[...values.data], [4, 0, 1]],
    });
    const plain = await openSafetensors(await openFile(path));
    expect((await plain.read('values')).data).toEqual(values.data);
    await plain.close();
  });

  it('holds the CRC-32 of the bytes of each row', async () => {
    const plain = await openSafetensors(await openFile(path));
    // zlib.crc32(struct.pack('<2f', *row)) in Python, as signed numbers.
    const { data } = await plain.read('values.row_checksums');
    expect([...data]).toEqual([638502504, -1149990475, -943745868]);
    await plain.close();
  });

  it('shows every flipped bit of the file', async () => {
    const expected = await readAll();
    const whole = readFileSync(path);
    const unseen: number[] = [];
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(path, flipped);
      try {
        expect(await readAll()).toEqual(expected);
        unseen.push(bit);
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }
    // White space that fills up the header may be any other.
    const harmless = unseen.filter((bit) => whole[bit >> 3] === 0x20);
    expect(unseen).toEqual(harmless);
  });

  it('is refused if its metadata is intact but its checksums are not numbers', async () => {
    for (const checksums of ['{', '[]', '{"values":"1"}', '{"values":-1}', 'null']) {
      const checksum = String(crc32(JSON.stringify({ checksums })));
      await writeSafetensors(path, [['values', values]], { checksums, checksum });
      await expect(readAll()).rejects.toThrow(FormatError);
    }
  });

  it('is distinguished from a file without checksums', async () => {
    await writeSafetensors(path, [['values', values]]);
    await expect(readAll()).rejects.toThrow('its metadata holds no checksums');
  });
});
