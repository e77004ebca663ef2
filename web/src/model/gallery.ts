/** @file Finished pictures and clips, kept in this browser with all that is needed to go back to them. */

import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Order } from '../engine/engine.ts';

export interface Keepsake {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly modelTitle: string;
  readonly order: Order;
  readonly config: AcditConfig;
  /** Of all blocks, one after the other. */
  readonly values: Float32Array;
  /** Of latents that were decoded: a PNG a frame. */
  readonly pictures?: readonly Blob[];
}

/** The oldest are dropped beyond. */
const MOST = 60;
const STORE = 'pictures';

export interface Gallery {
  /** The newest first. */
  all(): Promise<Keepsake[]>;
  add(keepsake: Keepsake): Promise<void>;
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
      const kept = await result<Keepsake[]>((await store('readonly')).getAll());
      return kept.sort((a, b) => b.time - a.time);
    },
    async add(keepsake) {
      await result((await store('readwrite')).put(keepsake));
      for (const { id } of (await gallery.all()).slice(MOST)) await gallery.remove(id);
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
