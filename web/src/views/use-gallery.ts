/** @file The gallery as components see it. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import { type GalleryEntry, openGallery } from '../model/gallery.ts';

export interface GalleryControl {
  /** Newest first. */
  readonly entries: readonly GalleryEntry[];
  /** The entry to show again. */
  readonly recalled: GalleryEntry | undefined;
  add(entry: GalleryEntry): void;
  /** Replaces the entry of the same id, unless it was removed. */
  replace(entry: GalleryEntry): void;
  remove(id: string): void;
  recall(entry: GalleryEntry): void;
}

/** @param setProblem shows a message. */
export function useGallery(setProblem: (problem: string) => void): GalleryControl {
  const gallery = useMemo(openGallery, []);
  const [entries, setEntries] = useState<readonly GalleryEntry[]>([]);
  const [recalled, setRecalled] = useState<GalleryEntry>();

  const reload = (): Promise<void> =>
    gallery
      .all()
      .then(setEntries, (error: Error) => setProblem(`the gallery cannot be read: ${error.message}`));
  useEffect(() => void reload(), []);

  return {
    entries,
    recalled,
    add: (entry) =>
      gallery.add(entry).then(reload, (error: Error) => setProblem(`it cannot be kept: ${error.message}`)),
    replace: (entry) => gallery.replace(entry).then(reload),
    remove: (id) => gallery.remove(id).then(reload),
    // A copy, so that the same entry can be recalled again.
    recall: (entry) => setRecalled({ ...entry }),
  };
}
