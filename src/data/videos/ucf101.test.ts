import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeClip } from '../../../test/support/clip-files.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { DatasetError, FormatError } from '../../errors.ts';
import { Generator } from '../../tensor/generator.ts';
import type { DatasetOptions } from '../kinds.ts';
import { openDataset } from '../open.ts';
import { localClipReader } from './clip-reader.ts';
import { parseClasses, parseSplit } from './ucf101.ts';

const LISTS = {
  'classInd.txt': '1 Archery\r\n2 Surfing\r\n',
  'trainlist01.txt': 'Archery/v_a_1.webp 1\nSurfing/v_s_1.webp 2\n\n',
  'testlist01.txt': 'Surfing/v_s_2.webp\n',
  'trainlist02.txt': 'Surfing/v_s_2.webp 2\n',
};

/** As UCF-101 is distributed, with lists and videos in folders of their own, or all in one. */
async function writeUcf(lists = 'ucfTrainTestlist', videos = 'UCF-101', changes: Partial<typeof LISTS> = {}) {
  const folder = temporaryFolder();
  for (const [i, name] of ['Archery/v_a_1', 'Surfing/v_s_1', 'Surfing/v_s_2'].entries()) {
    await writeClip(join(folder, videos, `${name}.webp`), { frames: 6, side: 8, first: 60 * i });
  }
  for (const [name, text] of Object.entries({ ...LISTS, ...changes })) {
    const path = join(folder, lists, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return folder;
}

const open = (path: string, changes: Partial<DatasetOptions> = {}) =>
  openDataset({ path, imageSize: 8, frames: 2, clipReader: localClipReader(), ...changes });

describe('UCF-101', () => {
  it.each([
    ['ucfTrainTestlist', 'UCF-101'],
    ['.', '.'],
  ])('is read by its lists in %s', async (lists, videos) => {
    const path = await writeUcf(lists, videos);
    const train = await open(path, { frameInterval: 3 });
    expect(train).toMatchObject({ size: 2, sampleShape: [2, 3, 8, 8], classNames: ['Archery', 'Surfing'] });
    const grey = (value: number): number => Math.fround(value / 127.5 - 1);
    const { values, label } = (await train.read(1, new Generator(0)))!;
    expect(label).toBe(1);
    expect(values[192]).toBeCloseTo(values[0] + 15 / 127.5, 5);
    expect([60, 65, 70].map(grey)).toContain(values[0]);
    await train.close?.();
    const test = await open(path, { split: 'test' });
    expect(test.size).toBe(1);
    expect((await test.read(0, new Generator(0)))?.label).toBe(1);
    await test.close?.();
    expect((await open(path, { fold: 2 })).size).toBe(1);
    expect((await open(path, { classNames: ['a', 'b'] })).classNames).toEqual(['a', 'b']);
  });

  it('says what is missing', async () => {
    const path = await writeUcf();
    await expect(open(path, { fold: 3 })).rejects.toThrow(DatasetError);
    await expect(open(path, { fold: 3 })).rejects.toThrow(/trainlist03.txt: cannot be read \(ENOENT\)/);
    await expect(open(temporaryFolder(), { kind: 'ucf101' })).rejects.toThrow(
      /expected classInd.txt in it or in ucf/,
    );
    await expect(open(path, { classNames: ['a'] })).rejects.toThrow(/has 2 classes, got 1 classNames/);
  });

  it.each<[keyof typeof LISTS, string, RegExp]>([
    ['classInd.txt', '', /lists no class/],
    ['classInd.txt', '2 Archery', /line 1 is '2 Archery', expected '1 ClassName'/],
    ['classInd.txt', '1 Archery\nSurfing', /line 2 is 'Surfing', expected '2 ClassName'/],
    ['trainlist01.txt', '\n', /lists no video/],
    ['trainlist01.txt', 'v_a_1.webp 1', /line 1, .* is not of the form 'ClassName\/file.avi 1'/],
    ['trainlist01.txt', '../Archery/v_a_1.webp 1', /is not of the form/],
    ['trainlist01.txt', '/etc/passwd', /is not of the form/],
    ['trainlist01.txt', 'Archery/v_a_1.webp one', /is not of the form/],
    ['trainlist01.txt', 'Archery/v_a_1.webp 1\nRowing/v.webp 2', /line 2, .* of a class that classInd.txt/],
    ['trainlist01.txt', 'Archery/v_a_1.webp 2', /line 1, .* but classInd.txt numbers it 1/],
  ])('names what is wrong with %s of %j', async (file, text, message) => {
    const path = await writeUcf(undefined, undefined, { [file]: text });
    await expect(open(path)).rejects.toThrow(FormatError);
    await expect(open(path)).rejects.toThrow(message);
    await expect(open(path)).rejects.toThrow(file);
  });

  it('parses lists as they are distributed', () => {
    const classes = parseClasses(LISTS['classInd.txt'], 'x');
    expect(parseSplit(LISTS['testlist01.txt'], 'x', classes)).toEqual([
      { path: join('Surfing', 'v_s_2.webp'), label: 1 },
    ]);
  });
});
