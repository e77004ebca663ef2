import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { FormatError } from '../../errors.ts';
import { blankImage, encodePng } from '../../media/image.ts';
import { openJsonlTracker, readMetrics } from './jsonl.ts';
import { openTrackers } from './open.ts';
import { crc32c, maskedCrc32c, openTensorBoardTracker } from './tensorboard.ts';

describe('crc32c', () => {
  // RFC 3720, B.4, and the check value of CRC-32C.
  it.each([
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 ones', new Uint8Array(32).fill(255), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
    ['"123456789"', new TextEncoder().encode('123456789'), 0xe3069283],
    ['nothing', new Uint8Array(0), 0],
  ])('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  it('is masked by a rotation and an offset', () => {
    expect(maskedCrc32c(new Uint8Array(0))).toBe(0xa282ead8);
    // 0xe3069283 rotated right by 15 is 0x2507c60d.
    expect(maskedCrc32c(new TextEncoder().encode('123456789'))).toBe((0x2507c60d + 0xa282ead8) >>> 0);
  });
});

type Field = number | bigint | string | Uint8Array;

/** A protobuf message as its fields by number, without a schema. */
function parseMessage(bytes: Uint8Array): Map<number, Field[]> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Field[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const value = {
      [WireType.Varint]: () => Number(reader.int64()),
      [WireType.Bit64]: () => reader.double(),
      [WireType.Bit32]: () => reader.float(),
      [WireType.LengthDelimited]: () => reader.bytes(),
    }[type as 0 | 1 | 2 | 5]();
    fields.set(number, [...(fields.get(number) ?? []), value]);
  }
  return fields;
}

/** The records of a TFRecord file, checksums checked. */
function parseRecords(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc32c(data));
    records.push(data);
    at += length + 16;
  }
  return records;
}

function onlyFile(folder: string): Uint8Array {
  const names = readdirSync(folder);
  expect(names).toHaveLength(1);
  expect(names[0]).toMatch(/^events\.out\.tfevents\.1700000000\./);
  return readFileSync(join(folder, names[0]));
}

const text = (field: Field) => new TextDecoder().decode(field as Uint8Array);
const inner = (message: Map<number, Field[]>, field: number) =>
  message.get(field)!.map((bytes) => parseMessage(bytes as Uint8Array));

describe('TensorBoard', () => {
  const now = () => 1_700_000_000_250;

  it('writes version, session start, scalars and images that can be parsed back', async () => {
    const folder = temporaryFolder();
    const png = await encodePng(blankImage(5, 4, 3));
    const tracker = openTensorBoardTracker(folder, 6, now);
    tracker.scalars(7, { loss: 0.25, 'learning rate': 1e300 });
    tracker.image(8, 'samples', png);
    tracker.close();

    const events = parseRecords(onlyFile(folder)).map(parseMessage);
    expect(events.map((event) => event.get(1))).toEqual(Array(4).fill([1_700_000_000.25]));
    expect(events.map((event) => event.get(2)?.[0])).toEqual([0, 7, 7, 8]);
    expect(text(events[0].get(3)![0])).toBe('brain.Event:2');
    expect(inner(events[1], 7)[0].get(1)).toEqual([1]);

    const values = inner(inner(events[2], 5)[0], 1);
    expect(values.map((value) => [text(value.get(1)![0]), value.get(2)![0]])).toEqual([
      ['loss', 0.25],
      ['learning rate', Number.POSITIVE_INFINITY],
    ]);
    const [value] = inner(inner(events[3], 5)[0], 1);
    const [image] = inner(value, 4);
    expect(text(value.get(1)![0])).toBe('samples');
    expect([image.get(1), image.get(2), image.get(3)]).toEqual([[4], [5], [3]]);
    expect(Uint8Array.from(image.get(4)![0] as Uint8Array)).toEqual(Uint8Array.from(png));
  });

  it('refuses an image that is not a PNG', () => {
    const tracker = openTensorBoardTracker(temporaryFolder());
    expect(() => tracker.image(1, 'x', new Uint8Array(100))).toThrow(FormatError);
    tracker.close();
  });
});

describe('JSON lines', () => {
  it('continue after the resumed step, and survive a kill', () => {
    const path = join(temporaryFolder(), 'run', 'metrics.jsonl');
    const first = openJsonlTracker(path, 0, () => 2500);
    for (const step of [1, 2, 3]) first.scalars(step, { loss: step / 2 });
    first.close();
    expect(readFileSync(path, 'utf8').split('\n')[0]).toBe('{"step":1,"time":2.5,"loss":0.5}');
    appendFileSync(path, '{"step":4,"ti');
    expect(readMetrics(path)).toHaveLength(3);

    const second = openJsonlTracker(path, 2, () => 9000);
    second.scalars(3, { loss: Number.NaN });
    second.close();
    expect(readMetrics(path)).toEqual([
      { step: 1, time: 2.5, loss: 0.5 },
      { step: 2, time: 2.5, loss: 1 },
      { step: 3, time: 9, loss: null },
    ]);
  });
});

it('openTrackers writes to both', async () => {
  const folder = temporaryFolder();
  const tracker = openTrackers(folder);
  tracker.scalars(1, { loss: 1 });
  tracker.image(1, 'samples', await encodePng(blankImage(2, 2, 1)));
  tracker.close();
  expect(readMetrics(join(folder, 'metrics.jsonl'))).toHaveLength(1);
  const [name] = readdirSync(join(folder, 'tensorboard'));
  expect(parseRecords(readFileSync(join(folder, 'tensorboard', name)))).toHaveLength(4);
});
