/** @file Bytes in and out: files, blobs and URLs read in ranges, and files written whole or not at all. */

export { type WriteBytes, writeFileAtomically } from './atomic-write.ts';
export { type ByteSource, blobSource, bytesSource, type FilePlace, type StoredFile } from './byte-source.ts';
export { openFile } from './file-source.ts';
export type { Part } from './parts.ts';
