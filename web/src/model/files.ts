/** @file Files to keep, and files that were dropped. */

import { encodeCanvas } from '../../../src/browser/pixels.ts';
import { enlarged, type Frame } from './frame.ts';

/** Shortest side of downloads: small images are enlarged. */
const SIDE = 256;

function factorOf({ width, height }: Frame): number {
  return Math.max(1, Math.round(SIDE / Math.min(width, height)));
}

/** Whether the browser writes WebP; Safari only reads it. */
export function writesWebp(): boolean {
  return document.createElement('canvas').toDataURL('image/webp').startsWith('data:image/webp');
}

/** Saves a frame as an image file, without loss where the browser can. */
export async function saveImage(frame: Frame, name: string, format: 'png' | 'webp'): Promise<void> {
  const { width, height, data } = enlarged(frame, factorOf(frame));
  save(await encodeCanvas(width, height, data, `image/${format}`, 1), `${name}.${format}`);
}

/** Frames enlarged and without holes, as an encoder of video takes them. */
export function videoFrames(frames: readonly Frame[]): Frame[] {
  return frames.map((frame) => enlarged(frame, factorOf(frame)));
}

export function save(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Files of a drop, those in dropped folders too. */
export async function droppedFiles({ items, files }: DataTransfer): Promise<File[]> {
  const entries = [...items].map((item) => item.webkitGetAsEntry());
  if (entries.every((entry) => entry === null)) return [...files];
  return (await Promise.all(entries.map(filesOf))).flat();
}

async function filesOf(entry: FileSystemEntry | null): Promise<File[]> {
  if (entry === null) return [];
  if (entry.isFile) {
    return [
      await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)),
    ];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const inside = await new Promise<FileSystemEntry[]>((resolve, reject) =>
    reader.readEntries(resolve, reject),
  );
  return (await Promise.all(inside.filter(({ isFile }) => isFile).map(filesOf))).flat();
}
