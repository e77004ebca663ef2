/** @file Finished images and videos, kept in this browser with all that is needed to go back to them. */

import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Order } from '../engine/engine.ts';

export interface GalleryEntry {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly modelTitle: string;
  readonly order: Order;
  readonly config: AcditConfig;
  /** The values of all blocks, one after the other. */
  readonly values: Float32Array;
  /** A PNG file per frame, of latents that were decoded. */
  readonly pictures?: readonly Blob[];
}

/** Older entries are removed. */
const MAX_ENTRIES = 60;
const STORE = 'pictures';

export interface Gallery {
  /** Lists the entries, newest first. */
  all(): Promise<GalleryEntry[]>;
  add(entry: GalleryEntry): Promise<void>;
  /** Replaces the entry of the same id, unless it was removed. */
  replace(entry: GalleryEntry): Promise<void>;
  remove(id: string): Promise<void>;
}

export function openGallery(): Gallery {
  let opening: Promise<IDBDatabase> | undefined;

  async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    opening ??= openDatabase();
    return (await opening).transaction(STORE, mode).objectStore(STORE);
  }

  const gallery: Gallery = {
    async all() {
      const entries = await result<GalleryEntry[]>((await store('readonly')).getAll());
      return entries.sort((a, b) => b.time - a.time);
    },
    async add(entry) {
      await result((await store('readwrite')).put(entry));
      for (const { id } of (await gallery.all()).slice(MAX_ENTRIES)) await gallery.remove(id);
    },
    async replace(entry) {
      const entries = await store('readwrite');
      if (await result(entries.getKey(entry.id))) await result(entries.put(entry));
    },
    async remove(id) {
      await result((await store('readwrite')).delete(id));
    },
  };
  return gallery;
}

function openDatabase(): Promise<IDBDatabase> {
  const request = indexedDB.open('acdit', 1);
  request.addEventListener('upgradeneeded', () => {
    request.result.createObjectStore(STORE, { keyPath: 'id' });
  });
  return result(request);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error));
  });
}
