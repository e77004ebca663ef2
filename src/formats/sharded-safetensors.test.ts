import { describe, expect, it } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { FormatError } from '../errors.ts';
import { type ByteSource, bytesSource } from '../io/byte-source.ts';
import { float32 } from '../tensor/tensor.ts';
import { encodeSafetensors } from './safetensors.ts';
import { isShardIndex, openShards, parseShardIndex } from './sharded-safetensors.ts';

const [a, b, c] = [float32([2], [1, 2]), float32([1], [3]), float32([], [4])];
const index = (map: unknown): string => JSON.stringify({ metadata: { total_size: 16 }, weight_map: map });
const parse = (map: unknown) => parseShardIndex(index(map), 'm.index');
const whole = parse({ a: '1.safetensors', c: '2.safetensors', b: '1.safetensors' });

/** Opens shards in memory. @returns the archive, and which of the files are open */
async function open(files: Readonly<Record<string, Uint8Array>>, shards = whole) {
  const sources = new Map<string, ReturnType<typeof countingSource>>();
  const openFile = async (file: string): Promise<ByteSource> => {
    const bytes = files[file];
    if (bytes === undefined) throw new FormatError(`${file}: is missing`);
    const counting = countingSource(bytesSource(bytes, file));
    sources.set(file, counting);
    return counting.source;
  };
  const opened = () => [...sources].filter(([, { closed }]) => !closed).map(([file]) => file);
  try {
    return { archive: await openShards(shards, 'm.index', openFile), opened };
  } catch (error) {
    expect(opened()).toEqual([]);
    throw error;
  }
}

const files = {
  '1.safetensors': encodeSafetensors(Object.entries({ a, b }), { format: 'pt' }),
  '2.safetensors': encodeSafetensors([['c', c]]),
};

describe('isShardIndex', () => {
  it.each([
    ['model.safetensors.index.json', true],
    ['diffusion_pytorch_model.safetensors.index.fp16.json', true],
    ['model.safetensors', false],
    ['index.json', false],
    ['model.safetensors.index.json.bak', false],
    ['model.safetensors.index.a.b.json', false],
    ['modelXsafetensors.index.json', false],
    ['model.safetensors.index.xjson', false],
  ])('%s: %s', (name, expected) => {
    expect(isShardIndex(name)).toBe(expected);
  });
});

describe('parseShardIndex', () => {
  it('maps tensors to files, in its order', () => {
    expect(whole.files).toEqual(['1.safetensors', '2.safetensors']);
    expect([...whole.fileOf]).toEqual([
      ['a', '1.safetensors'],
      ['c', '2.safetensors'],
      ['b', '1.safetensors'],
    ]);
  });

  it.each([
    '../1.safetensors',
    'x/1.safetensors',
    'x\\1.safetensors',
    'C:1.safetensors',
    '1.bin',
    '1.safetensors.bak',
    '.safetensors',
    'a\n.safetensors',
    'a\u202e.safetensors',
    `${'n'.repeat(244)}.safetensors`,
  ])('refuses the file %j', (file) => {
    expect(() => parse({ a: '1.safetensors', b: file })).toThrow(FormatError);
    expect(() => parse({ a: '1.safetensors', b: file })).toThrow(
      /^m\.index: names the file .*without a path$/,
    );
  });

  it('takes 1 to 1000 files, of names as long as file systems allow', () => {
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`t${i}`, `${i}.safetensors`]));
    expect(parse(named(1000)).files).toHaveLength(1000);
    expect(() => parse(named(1001))).toThrow('m.index: names 1001 files; expected 1 to 1000');
    expect(() => parse({})).toThrow('m.index: names 0 files; expected 1 to 1000');
    const longest = `${'n'.repeat(243)}.safetensors`;
    expect(parse({ a: longest }).files).toEqual([longest]);
  });

  it('refuses what is not an index', () => {
    expect(() => parseShardIndex('{}', 'm.index')).toThrow('m.index: not the index of sharded safetensors');
    expect(() => parse({ a: 1 })).toThrow(FormatError);
  });
});

describe('openShards', () => {
  it('reads the tensors of all files, and closes them', async () => {
    const { archive, opened } = await open(files);
    expect(archive.names).toEqual(['a', 'c', 'b']);
    expect(archive.metadata).toEqual({ format: 'pt' });
    for (const [name, value] of Object.entries({ a, b, c })) {
      expect(await archive.read(name)).toEqual(value);
      expect(archive.info(name)).toEqual({ dtype: 'float32', shape: value.shape });
      expect(archive.has(name)).toBe(true);
    }
    expect(archive.has('d')).toBe(false);
    expect(() => archive.info('d')).toThrow("m.index: holds no tensor 'd'");
    await expect(archive.read('d')).rejects.toThrow(FormatError);
    expect(opened()).toEqual(['1.safetensors', '2.safetensors']);
    await archive.close();
    expect(opened()).toEqual([]);
  });

  it('refuses a missing file, and closes the others', async () => {
    await expect(open({ '1.safetensors': files['1.safetensors'] })).rejects.toThrow(
      '2.safetensors: is missing',
    );
  });

  it.each<[string, Record<string, Uint8Array>, RegExp]>([
    [
      'lacks a tensor',
      { ...files, '1.safetensors': encodeSafetensors([['a', a]]) },
      /^m\.index: says that b is in 1\.safetensors, which does not hold it; get the index and its files again$/,
    ],
    [
      'holds a tensor that the index does not name',
      { ...files, '2.safetensors': encodeSafetensors(Object.entries({ c, d: a })) },
      /^m\.index: does not say that d is in 2\.safetensors, which holds it; get/,
    ],
    [
      'holds a tensor of another file',
      { ...files, '2.safetensors': encodeSafetensors(Object.entries({ c, a })) },
      /^m\.index: does not say that a is in 2\.safetensors, which holds it/,
    ],
    ['is damaged', { ...files, '2.safetensors': new Uint8Array(3) }, /^2\.safetensors: is too short/],
  ])('refuses a file that %s, and closes all', async (_, changed, message) => {
    await expect(open(changed)).rejects.toThrow(message);
  });
});
