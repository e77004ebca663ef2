/** @file Makes MP4 files reproducible: the times at which they were made are removed. */

/** Boxes that contain other boxes, down to those with times. */
const CONTAINERS = new Set(['moov', 'trak', 'mdia']);
/** Boxes that begin with a version, flags, a creation time and a modification time. */
const TIMED = new Set(['mvhd', 'tkhd', 'mdhd']);

/** Bytes of a box's size and type, and of a version and flags. */
const HEADER = 8;
const VERSION = 4;

/**
 * Sets all creation and modification times of an MP4 to 0, which players read as "unknown", in place. The same frames
 * then give the same bytes. Source: ISO/IEC 14496-12, sections 8.2.2, 8.3.2 and 8.4.2.
 * @param file a whole MP4 with boxes of 32-bit sizes outside its media data
 */
export function clearTimes(file: Uint8Array): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at + HEADER <= file.length; ) {
    const size = view.getUint32(at);
    const end = size < HEADER ? file.length : Math.min(at + size, file.length); // 0 and 1: the media data, which is last
    const type = String.fromCharCode(...file.subarray(at + 4, at + HEADER));
    const content = at + HEADER;
    if (CONTAINERS.has(type)) clearTimes(file.subarray(content, end));
    else if (TIMED.has(type)) {
      const times = file[content] === 1 ? 16 : 8; // version 1 has 64-bit times
      file.fill(0, content + VERSION, content + VERSION + times);
    }
    at = end;
  }
}
