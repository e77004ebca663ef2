/** @file The hub's cache on file systems that cannot do everything. What they refuse is simulated; the rest is real. */

import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { HubError } from '../src/errors.ts';
import { downloadFile, fetchModel, type HubOptions } from '../src/hub/index.ts';
import { type Hub, sha256, startHub } from './support/hub-server.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

/** What the file system refuses, by the names of calls, and with which errors. */
const refused = vi.hoisted(() => new Map<string, string>());

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  /** The same call, unless it is refused. */
  const guarded =
    <A extends unknown[], R>(name: string, call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const code = refused.get(name);
      if (code !== undefined) throw Object.assign(new Error(`${code}: ${name}`), { code, syscall: name });
      return call(...args);
    };
  return {
    ...real,
    symlink: guarded('symlink', real.symlink),
    link: guarded('link', real.link),
    open: async (...args: Parameters<typeof real.open>): Promise<FileHandle> => {
      const file = await real.open(...args);
      const write = file.write.bind(file) as (...values: unknown[]) => Promise<unknown>;
      if (String(args[0]).endsWith('.incomplete')) Object.assign(file, { write: guarded('write', write) });
      return file;
    },
  };
});

const content = Uint8Array.from({ length: 5000 }, (_, i) => (i * 31) & 255);
const config = new TextEncoder().encode('{"model_type": "acdit"}\n');

let hub: Hub;
let home: string;

beforeEach(async () => {
  hub = await startHub({
    'owner/repo/model.safetensors': content,
    'owner/repo/config.json': config,
    'owner/repo/copy.safetensors': content,
  });
  home = temporaryFolder();
  onTestFinished(() => refused.clear());
});

const environment = (): Record<string, string> => ({ HF_HOME: home, HF_ENDPOINT: hub.endpoint });
const options = (more: HubOptions = {}): HubOptions => ({
  environment: environment(),
  retryDelay: 1,
  ...more,
});
const repoPath = (...names: string[]): string => join(home, 'hub', 'models--owner--repo', ...names);
const download = (path: string): Promise<string> => downloadFile({ repo: 'owner/repo', path }, options());

describe.each(['EPERM', 'EOPNOTSUPP', 'ENOSYS'])('where links cannot be made (%s)', (code) => {
  beforeEach(() => {
    refused.set('symlink', code);
    refused.set('link', code);
  });

  it('the files themselves are in the snapshot, as the Python library leaves them', async () => {
    const path = await download('model.safetensors');
    expect(path).toBe(repoPath('snapshots', hub.commit, 'model.safetensors'));
    expect(lstatSync(path).isFile()).toBe(true);
    expect(sha256(readFileSync(path))).toBe(sha256(content));
    expect(readdirSync(repoPath('blobs'))).toEqual([]); // moved, so that it takes no room twice
    expect(await download('model.safetensors')).toBe(path);
    expect(hub.contentRequests()).toHaveLength(1);
    await hub.close();
    expect(
      await fetchModel('owner/repo/model.safetensors', options()).catch((error) => error),
    ).toBeInstanceOf(
      HubError, // its config.json was never fetched
    );
    expect(await download('model.safetensors')).toBe(path);
  });

  it('a blob that a program of another system left is copied, and stays', async () => {
    refused.clear();
    await download('model.safetensors');
    refused.set('symlink', code);
    refused.set('link', code);
    const path = await download('copy.safetensors');
    expect(lstatSync(path).isFile()).toBe(true);
    expect(sha256(readFileSync(path))).toBe(sha256(content));
    expect(readdirSync(repoPath('blobs'))).toEqual([sha256(content)]);
    expect(readdirSync(dirname(path)).sort()).toEqual(['copy.safetensors', 'model.safetensors']);
    expect(hub.contentRequests()).toHaveLength(1);
  });

  it('a model folder is fetched by two at once', async () => {
    const paths = await Promise.all([1, 2, 3].map(() => fetchModel('owner/repo', options())));
    expect(new Set(paths)).toEqual(new Set([repoPath('snapshots', hub.commit)]));
    expect(readdirSync(paths[0]).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(sha256(readFileSync(join(paths[0], 'model.safetensors')))).toBe(sha256(content));
    expect(hub.contentRequests()).toHaveLength(2);
  });
});

it('a second name serves where symbolic links alone cannot be made', async () => {
  refused.set('symlink', 'EPERM');
  const path = await download('model.safetensors');
  expect(lstatSync(path)).toMatchObject({ nlink: 2 });
  expect(await download('model.safetensors')).toBe(path);
  expect(hub.contentRequests()).toHaveLength(1);
});

it('keeps what there is when the disk is full', async () => {
  const incomplete = repoPath('blobs', `${sha256(content)}.incomplete`);
  mkdirSync(dirname(incomplete), { recursive: true });
  refused.set('write', 'ENOSPC');
  const error = await download('model.safetensors').catch((reason) => reason);
  expect(error).toBeInstanceOf(HubError);
  expect(error.message).toContain('the disk is full, 5 kB more are needed; what is there is kept');
  expect(existsSync(incomplete)).toBe(true);
  refused.clear();
  expect(sha256(readFileSync(await download('model.safetensors')))).toBe(sha256(content));
});
