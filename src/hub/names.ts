/** @file Names of files and folders on the hub. */

import { HubError } from '../errors.ts';

/** Where something is on the hub. */
export interface HubLocation {
  /** `owner/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Path in the repository, with slashes; '' is its root. */
  readonly path: string;
}

const RELEASED_REPO = 'JamesHujy/ACDiT';

/** Names of the released models. */
export const RELEASED_MODELS: readonly string[] = ['XL', 'H'].flatMap((size) =>
  ['img', 'vid'].map((kind) => `ACDiT-${size}-${kind}`),
);

/** Folder of the autoencoder that the released models were trained with. */
export const RELEASED_AUTOENCODER = 'facebook/DiT-XL-2-256/vae';

const DEFAULT_REVISION = 'main';

/** Owners and repositories. */
const SEGMENT = /^[A-Za-z0-9][\w.-]{0,95}$/;

/**
 * What a name means on the hub: a released model, `owner/repo`, or a path in it, `owner/repo/folder/file`. The
 * repository may be followed by a revision, as in `owner/repo@v1/file`.
 * @returns undefined if it can be no name on the hub, but may be a path on this machine.
 */
export function parseHubName(name: string): HubLocation | undefined {
  const released = name.replace(/\.pt$/, '');
  if (RELEASED_MODELS.includes(released)) {
    return { repo: RELEASED_REPO, revision: DEFAULT_REVISION, path: `${released}.pt` };
  }
  const [owner, repoAndRevision = '', ...path] = name.replace(/\/$/, '').split('/');
  const [repo, revision = DEFAULT_REVISION, ...more] = repoAndRevision.split('@');
  const segments = [owner, repo, ...path];
  if (!SEGMENT.test(owner) || !SEGMENT.test(repo) || revision === '' || more.length > 0) return undefined;
  if (segments.some((segment) => /^\.{0,2}$|[\\:\0]/.test(segment))) return undefined;
  return { repo: `${owner}/${repo}`, revision, path: path.join('/') };
}

/** How a location is written, with commits shortened. */
export function describeLocation({ repo, revision, path }: HubLocation): string {
  const at = revision === DEFAULT_REVISION ? '' : `@${revision.replace(/^([0-9a-f]{8})[0-9a-f]{32}$/, '$1')}`;
  return `${repo}${at}${path && `/${path}`}`;
}

/** A file or folder in a folder. */
export function inFolder(location: HubLocation, name: string): HubLocation {
  return { ...location, path: location.path ? `${location.path}/${name}` : name };
}

/**
 * Check that a location leads nowhere else when it is joined to a folder or an address.
 * @throws {HubError} if it does.
 */
export function requireLocation(location: HubLocation): void {
  const { repo, revision, path } = location;
  const bad = (text: string): boolean =>
    text.split(/[/\\]/).some((part) => /^\.{0,2}$/.test(part)) || /[:\0]/.test(text);
  if (/^[^/]+\/[^/]+$/.test(repo) && ![repo, revision, path].some(bad)) return;
  throw new HubError(`'${describeLocation(location)}' is no file on the hub; expected owner/repo/file`);
}
