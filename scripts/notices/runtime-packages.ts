/** @file The packages that are installed with acdit, from the lock file: the same on every platform. */

import { get } from '../../src/at.ts';

/** A package as `package-lock.json` describes it. */
export interface LockEntry {
  readonly version?: string;
  readonly license?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The part of `package-lock.json` that is read; the root's key is the empty text. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

/** A package that is installed with acdit. */
export interface RuntimePackage {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression; empty if the package states none. */
  readonly licence: string;
  /** Its folder, from the root of the repository. */
  readonly folder: string;
  /** Names of the packages that depend on it, sorted; `acdit` for its own dependencies. */
  readonly neededBy: readonly string[];
  /** True if it is installed on some platforms only. */
  readonly platformSpecific: boolean;
}

const MODULES = 'node_modules/';

/** Lists all packages that acdit's dependencies reach, sorted by name; peers and development are left out. */
export function runtimePackages(lock: Lock): RuntimePackage[] {
  const everywhere = reach(lock, (entry) => !isPlatformSpecific(entry));
  const all = reach(lock, () => true);
  return [...all]
    .map(([folder, neededBy]) => {
      const { version = '', license = '' } = get(lock.packages, folder);
      const platformSpecific = !everywhere.has(folder);
      const name = nameOf(folder);
      return { name, version, licence: license, folder, neededBy: [...neededBy].sort(), platformSpecific };
    })
    .sort((a, b) => (a.folder < b.folder ? -1 : 1))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Follows dependencies from the root. @returns names of the packages that need each folder's package */
function reach({ packages }: Lock, enters: (entry: LockEntry) => boolean): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const waiting = [''];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const { dependencies, optionalDependencies } = get(packages, folder);
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const target = resolve(packages, folder, name);
      if (target === undefined || !enters(get(packages, target))) continue;
      if (!found.has(target)) waiting.push(target);
      const neededBy = found.get(target) ?? new Set();
      found.set(target, neededBy.add(folder === '' ? 'acdit' : nameOf(folder)));
    }
  }
  return found;
}

/** Finds a dependency as Node does: in the package's own folder first, then further up. */
function resolve(packages: Lock['packages'], from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf(MODULES) - 1))) {
    const target = `${folder === '' ? '' : `${folder}/`}${MODULES}${name}`;
    if (target in packages) return target;
    if (folder === '') return undefined;
  }
}

function isPlatformSpecific({ optional, os, cpu }: LockEntry): boolean {
  return optional === true && (os !== undefined || cpu !== undefined);
}

/** The name of the package in a folder of `node_modules`. */
export function nameOf(folder: string): string {
  return folder.slice(folder.lastIndexOf(MODULES) + MODULES.length);
}
