/** @file What the build of the app writes besides the app: lists of its files, and notices of what it contains. */

import { join, relative, sep } from 'node:path';
import type { Plugin, Rolldown } from 'vite';
import { webNotices } from '../scripts/notices/third-party.ts';

const ROOT = join(import.meta.dirname, '..');

/** Lists all files in `files.json`, so that the service worker can remove those of earlier versions from its cache. */
export const listFiles: Plugin = {
  name: 'list-files',
  generateBundle(_, bundle) {
    this.emitFile({ type: 'asset', fileName: 'files.json', source: JSON.stringify(Object.keys(bundle)) });
  },
};

/**
 * Lists the files that are copies of files in `models`, by path from the package's root, in `shared-files.json`. The npm
 * package leaves the copies out, and `acdit serve` serves the originals in their place.
 */
export const listSharedFiles: Plugin = {
  name: 'list-shared-files',
  generateBundle(_, bundle) {
    const shared = Object.values(bundle).flatMap((output) =>
      output.type !== 'asset'
        ? []
        : originals(output)
            .map((path) => relative(ROOT, path).split(sep).join('/'))
            .filter((path) => path.startsWith('models/'))
            .map((path) => [output.fileName, path]),
    );
    const source = `${JSON.stringify(Object.fromEntries(shared), null, 2)}\n`;
    this.emitFile({ type: 'asset', fileName: 'shared-files.json', source });
  },
};

/** Makes the plugins that write the notices of the packages in the bundle: one for workers, which only adds to them. */
export function noticesPlugins(): { readonly page: Plugin; readonly worker: Plugin } {
  const folders = new Set<string>();
  const collect = (bundle: Rolldown.OutputBundle): void => {
    for (const output of Object.values(bundle)) {
      const sources = output.type === 'chunk' ? renderedModules(output) : originals(output);
      for (const folder of sources.map(packageFolder)) if (folder !== undefined) folders.add(folder);
    }
  };
  return {
    worker: { name: 'collect-notices', generateBundle: (_, bundle) => collect(bundle) },
    page: {
      name: 'write-notices',
      generateBundle(_, bundle) {
        collect(bundle);
        this.emitFile({ type: 'asset', fileName: 'third-party-notices.txt', source: webNotices(folders) });
      },
    },
  };
}

/** Modules of which something is left after tree shaking. */
function renderedModules({ modules }: Rolldown.OutputChunk): string[] {
  return Object.entries(modules).flatMap(([id, { renderedLength }]) => (renderedLength > 0 ? [id] : []));
}

/** Absolute paths of the files that an asset is a copy of. */
function originals({ originalFileNames }: Rolldown.OutputAsset): string[] {
  return originalFileNames.map((name) => join(import.meta.dirname, name));
}

/** The folder of the package that a module is part of; undefined for the app's own modules. */
function packageFolder(id: string): string | undefined {
  // Helpers of the bundler: `\0rolldown/runtime.js`, `\0vite/preload-helper.js`.
  const helper = /^\0(rolldown|vite)\//.exec(id)?.[1];
  if (helper) return join(ROOT, 'node_modules', helper);
  return /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id)?.[0];
}
