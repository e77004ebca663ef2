/** @file Names of files and folders on the hub. */

import { attempt } from '../attempt.ts';
import { HubError } from '../errors.ts';

/** Where something is on the hub. */
export interface HubLocation {
  /** `owner/name`. */
  readonly repo: string;
  /** A branch, a tag, a commit, or a reference such as `refs/pr/1`. */
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
/** Prefixes of the hub's URLs that cannot be owners. */
const RESERVED = ['models', 'datasets', 'spaces'];
/** Revisions that contain slashes and are still recognised in a path, as Python's `huggingface_hub` does. */
const SPECIAL_REVISION = /^refs\/(?:pr\/\d+|convert\/\w+)(?=\/|$)/;
/** Hosts of the Hugging Face Hub's pages. */
const HUB_HOSTS = ['huggingface.co', 'www.huggingface.co', 'hf.co'];
/** Parts that may stand between a repository and a revision in the URL of a page or a file. */
const PAGES = ['tree', 'blob', 'resolve', 'raw', 'blame', 'commit', 'commits', 'edit'];

/** Checks whether a name is a URL: of a page of the hub, or in Python's notation, `hf://owner/name`. */
export function isAddress(name: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(name);
}

/**
 * Finds what a name means on the hub: a released model, `owner/repo`, or a path in it, `owner/repo/folder/file`. The
 * repository may be followed by a revision, as in `owner/repo@v1/file` or `owner/repo@refs/pr/1`; other slashes in a
 * revision are written `%2F`. The same may follow `hf://`, and the URL of a page or file of the hub may be given.
 * @param endpoint URL of the hub, if it is not the usual one
 * @returns undefined if it cannot be a name on the hub, but may be a path on this machine.
 */
export function parseHubName(name: string, endpoint?: string): HubLocation | undefined {
  const released = name.replace(/\.pt$/, '');
  if (RELEASED_MODELS.includes(released)) {
    return { repo: RELEASED_REPO, revision: DEFAULT_REVISION, path: `${released}.pt` };
  }
  if (/^hf:\/\//i.test(name)) return parseName(name.slice('hf://'.length).replace(/^models\//, ''));
  return isAddress(name) ? parsePage(name, endpoint) : parseName(name);
}

function parseName(name: string): HubLocation | undefined {
  const match = /^([^/@]+)\/([^/@]+)(@?)(.*)$/s.exec(name.replace(/\/$/, ''));
  if (!match) return undefined;
  const [, owner = '', repo = '', at = '', rest = ''] = match;
  if (at === '') {
    if (rest !== '' && !rest.startsWith('/')) return undefined;
    return locationOf(owner, repo, DEFAULT_REVISION, rest.slice(1));
  }
  const [revision = ''] = SPECIAL_REVISION.exec(rest) ?? rest.split('/', 1);
  if (revision.includes('@')) return undefined;
  return locationOf(owner, repo, decoded(revision), rest.slice(revision.length + 1));
}

/** Parses `https://HUB/owner/name`, with `/tree/REVISION/path` or similar after it. */
function parsePage(address: string, endpoint: string | undefined): HubLocation | undefined {
  if (!URL.canParse(address)) return undefined;
  const { protocol, hostname, pathname, host } = new URL(address);
  const hub = endpoint === undefined ? undefined : new URL(endpoint);
  const prefix = hub && hub.host === host ? hub.pathname.replace(/\/$/, '') : undefined;
  const isPage = /^https?:$/.test(protocol) && HUB_HOSTS.includes(hostname);
  if (prefix === undefined ? !isPage : !pathname.startsWith(`${prefix}/`)) return undefined;
  const [owner, repo, page, ...rest] = pathname
    .slice((prefix ?? '').length + 1)
    .replace(/\/+$/, '')
    .split('/');
  if (owner === undefined || repo === undefined) return undefined;
  if (page === undefined) return locationOf(owner, repo, DEFAULT_REVISION, '');
  const after = rest.join('/');
  const revision = SPECIAL_REVISION.exec(after)?.[0] ?? rest[0];
  if (!PAGES.includes(page) || !revision) return undefined;
  return locationOf(owner, repo, decoded(revision), decoded(after.slice(revision.length + 1)));
}

/** Decodes percent signs in a URL; '' if they are not valid. */
function decoded(text: string): string {
  return attempt(() => decodeURIComponent(text), '');
}

function locationOf(owner: string, repo: string, revision: string, path: string): HubLocation | undefined {
  if (!SEGMENT.test(owner) || RESERVED.includes(owner) || !SEGMENT.test(repo)) return undefined;
  const segments = [...revision.split('/'), ...(path === '' ? [] : path.split('/'))];
  if (segments.some(isBadSegment)) return undefined;
  return { repo: `${owner}/${repo}`, revision, path };
}

/** A part of a path that leads elsewhere, or is not a valid name on every system. */
function isBadSegment(segment: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none is part of a name on the hub
  return /^\.{0,2}$|[\\:\x00-\x1f\x7f]/.test(segment);
}

/** How a location is written, with commits shortened. */
export function describeLocation({ repo, revision, path }: HubLocation): string {
  const short = revision.replace(/^([0-9a-f]{8})[0-9a-f]{32}$/, '$1');
  const name = SPECIAL_REVISION.test(short) ? short : short.replaceAll('/', '%2F');
  const at = revision === DEFAULT_REVISION ? '' : `@${name}`;
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
  const bad = (text: string): boolean => text.split('/').some(isBadSegment);
  if (/^[^/]+\/[^/]+$/.test(repo) && ![repo, revision, path].some(bad)) return;
  throw new HubError(`'${describeLocation(location)}' is not a file on the hub; expected owner/repo/file`);
}
