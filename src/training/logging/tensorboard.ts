/**
 * @file TensorBoard event files: TFRecords of `Event` messages (tensorflow/core/util/event.proto and
 * framework/summary.proto). Only what scalars and images need is written.
 */

import { appendFileSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { uint8At, uint32At } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import { explainedSync } from '../../io/atomic-write.ts';
import type { Tracker } from './tracker.ts';

/** Field numbers of the messages. */
const Event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const SessionLog = { status: 1 } as const;
const Summary = { value: 1 } as const;
const Value = { tag: 1, simpleValue: 2, image: 4 } as const;
const ImageField = { height: 1, width: 2, colorspace: 3, encodedImage: 4 } as const;

/** SessionLog.START: TensorBoard then forgets what earlier files say of this step and later ones. */
const SESSION_START = 1;

const PNG_SIGNATURE = '89504e470d0a1a0a';
/** Channels by a PNG's colour type; a palette is shown as RGB. */
const PNG_CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };

/**
 * Logs to a new event file in `folder`. It throws an AcditError if that cannot be written, and so may every call.
 * @param resumedStep the step that training resumes from; TensorBoard drops later ones of earlier files.
 */
export function openTensorBoardTracker(folder: string, resumedStep = 0, now = Date.now): Tracker {
  const name = `events.out.tfevents.${Math.floor(now() / 1000)}.${hostname()}.${process.pid}`;
  const path = join(folder, name);
  const file = explainedSync(path, () => {
    mkdirSync(folder, { recursive: true });
    return openSync(path, 'a');
  });
  const write = (step: number, fill: (event: BinaryWriter) => void) => {
    const event = new BinaryWriter();
    event.tag(Event.wallTime, WireType.Bit64).double(now() / 1000);
    event.tag(Event.step, WireType.Varint).int64(step);
    fill(event);
    explainedSync(path, () => appendFileSync(file, tfRecord(event.finish())));
  };
  write(0, (event) => event.tag(Event.fileVersion, WireType.LengthDelimited).string('brain.Event:2'));
  write(resumedStep + 1, (event) => {
    event.tag(Event.sessionLog, WireType.LengthDelimited).fork();
    event.tag(SessionLog.status, WireType.Varint).int32(SESSION_START).join();
  });
  return {
    scalars(step, record) {
      write(step, (event) => {
        event.tag(Event.summary, WireType.LengthDelimited).fork();
        for (const [name, value] of Object.entries(record)) writeScalar(event, name, value);
        event.join();
      });
    },
    image(step, name, png) {
      const header = pngHeader(png);
      write(step, (event) => {
        event.tag(Event.summary, WireType.LengthDelimited).fork();
        writeImage(event, name, png, header);
        event.join();
      });
    },
    close: () => closeSync(file),
  };
}

/** A record of a TFRecord file: length, its checksum, data, its checksum. */
function tfRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

function writeScalar(event: BinaryWriter, tag: string, value: number): void {
  event.tag(Summary.value, WireType.LengthDelimited).fork();
  event.tag(Value.tag, WireType.LengthDelimited).string(tag);
  // Beyond float32's range the writer would throw; TensorBoard shows infinity.
  event.tag(Value.simpleValue, WireType.Bit32).float(Math.fround(value)).join();
}

function writeImage(event: BinaryWriter, tag: string, png: Uint8Array, header: PngHeader): void {
  event.tag(Summary.value, WireType.LengthDelimited).fork();
  event.tag(Value.tag, WireType.LengthDelimited).string(tag);
  event.tag(Value.image, WireType.LengthDelimited).fork();
  event.tag(ImageField.height, WireType.Varint).int32(header.height);
  event.tag(ImageField.width, WireType.Varint).int32(header.width);
  event.tag(ImageField.colorspace, WireType.Varint).int32(header.channels);
  event.tag(ImageField.encodedImage, WireType.LengthDelimited).bytes(png).join().join();
}

type PngHeader = ReturnType<typeof pngHeader>;

/** Size and channels from the first chunk of a PNG file. */
function pngHeader(png: Uint8Array) {
  if (png.length < 26 || Buffer.from(png.subarray(0, 8)).toString('hex') !== PNG_SIGNATURE) {
    throw new FormatError(`TensorBoard image: expected the bytes of a PNG file, got ${png.length} others`);
  }
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const channels = PNG_CHANNELS[uint8At(png, 25)] ?? 3;
  return { width: view.getUint32(16), height: view.getUint32(20), channels };
}

/**
 * The Castagnoli polynomial 0x1edc6f41 with its bits reversed. TFRecords have this checksum, CRC-32C, which zlib's crc32 is
 * not.
 */
const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** CRC-32C of some bytes (RFC 3720, B.4), 0 to 2^32-1. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    crc = uint32At(table, (crc ^ uint8At(bytes, i)) & 0xff) ^ (crc >>> 8);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** CRC-32C as TFRecord stores it: rotated and offset, so that checksums of data with checksums inside differ. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
