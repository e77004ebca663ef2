/** @file Downloads from a hub on loopback that does what it should, and what it should not. */
// @module-tag slow

import { spawn } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { scanCacheDir } from '@huggingface/hub';
import { beforeEach, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { HubError } from '../src/errors.ts';
import {
  downloadFile,
  fetchAutoencoder,
  fetchModel,
  type HubEvent,
  type HubOptions,
} from '../src/hub/index.ts';
import { type ProcessIdentity, thisProcess } from '../src/io/process-identity.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { gitHash, type Hub, sha256, startHub } from './support/hub-server.ts';
import { shards } from './support/shards.ts';
import { temporaryFolder } from './support/temporary-folder.ts';
import { tinyConfig } from './support/tiny-config.ts';

/** Bytes that are the same each time. */
function pattern(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 17) & 255);
}

const large = pattern(300_000);
const small = new TextEncoder().encode('{"model_type": "acdit"}\n');

let hub: Hub;
let home: string;
let events: HubEvent[];

beforeEach(async () => {
  hub = await startHub({ 'owner/repo/big.pt': large, 'owner/repo/sub/config.json': small });
  home = temporaryFolder();
  events = [];
});

const environment = (): Record<string, string> => ({ HF_HOME: home, HF_ENDPOINT: hub.endpoint });
const options = (more: HubOptions = {}): HubOptions => ({
  environment: environment(),
  retryDelay: 1,
  onEvent: (event) => events.push(event),
  ...more,
});
const big = { repo: 'owner/repo', path: 'big.pt' };
const download = (more?: HubOptions, location = big): Promise<string> =>
  downloadFile(location, options(more));
const kinds = (): string[] => events.map(({ kind }) => kind).filter((kind, i, all) => kind !== all[i - 1]);
const repoPath = (...names: string[]): string => join(home, 'hub', 'models--owner--repo', ...names);
const blob = (): string => repoPath('blobs', sha256(large));
const incomplete = (): string => `${blob()}.incomplete`;
/** Checksums, since long arrays are slow to compare. */
const checksumOf = (path: string): string => sha256(readFileSync(path));
const expectWhole = (path: string): void => expect(checksumOf(path)).toBe(sha256(large));

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => expect.fail('should have been refused'),
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  expect(error.message).not.toContain('\n');
  return error.message;
}

describe('downloadFile', () => {
  it('keeps large and small files in the layout of the Python library', async () => {
    const path = await download();
    expect(path).toBe(repoPath('snapshots', hub.commit, 'big.pt'));
    expectWhole(path);
    expect(readlinkSync(path)).toBe(`../../blobs/${sha256(large)}`);
    expect(readFileSync(repoPath('refs', 'main'), 'utf8')).toBe(hub.commit);
    expect(kinds()).toEqual(['start', 'progress', 'verify', 'done']);

    const config = await download({}, { repo: 'owner/repo', path: 'sub/config.json' });
    expect(config).toBe(repoPath('snapshots', hub.commit, 'sub', 'config.json'));
    expect(readlinkSync(config)).toBe(`../../../blobs/${gitHash(small)}`);
    expect(checksumOf(config)).toBe(sha256(small));
    expect(readdirSync(repoPath('blobs')).sort()).toEqual([gitHash(small), sha256(large)].sort());

    // The library's own reader of caches finds its way about.
    const { repos, warnings } = await scanCacheDir(join(home, 'hub'));
    expect(warnings).toEqual([]);
    expect(repos).toMatchObject([
      { id: { name: 'owner/repo', type: 'model' }, revisions: [{ commitOid: hub.commit, refs: ['main'] }] },
    ]);
    expect(repos[0].revisions[0].files).toMatchObject([{ path, blob: { path: blob(), size: large.length } }]);
  });

  it('downloads once, and again what is damaged or gone', async () => {
    await download();
    await download();
    expect(hub.contentRequests()).toHaveLength(1);
    expect(kinds().at(-1)).toBe('cached');
    truncateSync(blob(), 1000);
    expectWhole(await download());
    rmSync(blob());
    expectWhole(await download());
    expect(hub.contentRequests()).toHaveLength(3);
    rmSync(repoPath('snapshots'), { recursive: true }); // the blob is still there
    expectWhole(await download());
    expect(hub.contentRequests()).toHaveLength(3);
  });

  it('takes a file by branch or commit', async () => {
    const atCommit = { ...big, revision: hub.commit };
    const path = await downloadFile(atCommit, options());
    expect(existsSync(repoPath('refs'))).toBe(false);
    const asked = hub.requests.length;
    expect(await downloadFile(atCommit, options())).toBe(path);
    expect(hub.requests).toHaveLength(asked); // a commit never changes
    expect(await refusal(downloadFile({ ...big, revision: 'v2' }, options()))).toContain("no revision 'v2'");
  });

  it('resumes where a dropped connection ended, several times', async () => {
    hub.faults.drops = [100_000, 50_000, 0];
    expectWhole(await download());
    const ranges = hub.contentRequests().map((request) => /\[(.*)\]/.exec(request)?.[1]);
    expect(ranges).toEqual([undefined, 'bytes=100000-', 'bytes=150000-', 'bytes=150000-']);
    expect(events.filter(({ kind }) => kind === 'retry')).toHaveLength(3);
  });

  it('gives up after a few attempts that bring nothing, and keeps what there is', async () => {
    hub.faults.drops = [100_000, 0, 0, 0, 0, 0, 0];
    const message = await refusal(download());
    expect(message).toContain('100 kB of 300 kB are kept');
    expect(checksumOf(incomplete())).toBe(sha256(large.subarray(0, 100_000)));
    hub.faults.drops = [];
    expectWhole(await download());
    expect(hub.contentRequests().at(-1)).toContain('[bytes=100000-]');
  });

  it('tries again when the server is busy', async () => {
    hub.faults.lookupStatuses = [503, 429];
    hub.faults.contentStatuses = [500, 429];
    expectWhole(await download());
  });

  it('asks again when the connection is closed instead of an answer', async () => {
    hub.faults.lookupDrops = 2;
    expectWhole(await download());
    hub.faults.lookupDrops = 3;
    await download();
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'unreachable', reason: expect.stringContaining('was closed') }),
    );
  });

  it('takes a connection that brings nothing for broken', async () => {
    hub.faults.stallAfter = 1000;
    const stalled = download({ stallTimeout: 300 });
    await expect.poll(() => kinds()).toContain('retry');
    delete hub.faults.stallAfter;
    expectWhole(await stalled);
  });

  it('stops when aborted, keeps what there is, and resumes from there', async () => {
    hub.faults.trickle = 10_000;
    const controller = new AbortController();
    const reason = new Error('enough');
    const onEvent = (event: HubEvent): void => {
      if (event.kind === 'progress' && event.done >= 50_000) controller.abort(reason);
    };
    await expect(download({ signal: controller.signal, onEvent })).rejects.toBe(reason);
    const kept = readFileSync(incomplete());
    expect(kept.length).toBeGreaterThanOrEqual(50_000);
    expect(sha256(kept)).toBe(sha256(large.subarray(0, kept.length)));
    expect(readdirSync(repoPath('blobs'))).toHaveLength(1); // no lock is left
    hub.faults.trickle = 0;
    expectWhole(await download());
    expect(hub.contentRequests().at(-1)).toContain(`[bytes=${kept.length}-]`);
    await expect(download({ signal: controller.signal })).rejects.toBe(reason);
  });

  it('stops at once when aborted between attempts', async () => {
    hub.faults.contentStatuses = [500];
    const controller = new AbortController();
    const onEvent = (event: HubEvent): void => {
      if (event.kind === 'retry') setTimeout(() => controller.abort('enough'), 10);
    };
    const started = Date.now();
    await expect(download({ signal: controller.signal, onEvent, retryDelay: 60_000 })).rejects.toBe('enough');
    expect(Date.now() - started).toBeLessThan(20_000);
  });

  it('gets along with a server that knows no ranges', async () => {
    hub.faults.ignoreRange = true;
    hub.faults.drops = [100_000, 150_000];
    expectWhole(await download());
  });

  it('deletes a download that is damaged', async () => {
    hub.faults.corrupt = true;
    expect(await refusal(download())).toMatch(/damaged: its checksum is not \w{64}; it is deleted/);
    expect(readdirSync(repoPath('blobs'))).toEqual([]);
    expect(await refusal(download({}, { repo: 'owner/repo', path: 'sub/config.json' }))).toMatch(
      /checksum is not \w{40};/,
    );
    hub.faults.corrupt = false;
    expectWhole(await download());
  });

  it('does not trust what an earlier download left', async () => {
    mkdirSync(dirname(incomplete()), { recursive: true });
    writeFileSync(incomplete(), new Uint8Array(1000));
    expect(await refusal(download())).toContain('damaged');
    writeFileSync(incomplete(), new Uint8Array(large.length + 1));
    expectWhole(await download());
    rmSync(blob());
    rmSync(repoPath('snapshots'), { recursive: true });
    writeFileSync(incomplete(), large); // complete, but not checked
    const before = hub.contentRequests().length;
    expectWhole(await download());
    expect(hub.contentRequests()).toHaveLength(before);
  });

  it.each([5, -5])('refuses a length that is wrong by %d', async (lie) => {
    hub.faults.lie = lie;
    const message = await refusal(download());
    expect(message).toContain(`300000 bytes by the hub's word, but the server has ${300_000 + lie}`);
  });

  it('sends the token to the hub only', async () => {
    hub.faults.token = 'secret';
    expect(await refusal(download())).toMatch(/private or gated \(401\).*set HF_TOKEN/);
    const withToken = (HF_TOKEN: string) => download({ environment: { ...environment(), HF_TOKEN } });
    expect(await refusal(withToken('wrong'))).toContain('the token in HF_TOKEN was refused');
    hub.faults.denial = { status: 403, code: 'GatedRepo' };
    expect(await refusal(download())).toMatch(/denied \(403\); accept the terms on .*owner\/repo.*HF_TOKEN/);
    expectWhole(await withToken('secret'));
    rmSync(join(home, 'hub'), { recursive: true });
    writeFileSync(join(home, 'token'), 'secret\n');
    expectWhole(await download());
    expect(hub.leakedTokens).toEqual([]);
  });

  it('says what there is instead of what is missing', async () => {
    const missing = await refusal(download({}, { repo: 'owner/repo', path: 'bag.pt' }));
    expect(missing).toContain('did you mean owner/repo/big.pt? It holds big.pt, sub/config.json');
    expect(await refusal(download({}, { repo: 'owner/other', path: 'big.pt' }))).toContain(
      'has no repository owner/other',
    );
    hub.faults.noApi = true;
    expect(await refusal(download({}, { repo: 'owner/repo', path: 'bag.pt' }))).toContain('holds no bag.pt');
    expect(await refusal(download({}, { repo: 'owner/repo', path: '../../big.pt' }))).toContain(
      'is not a file on the hub',
    );
  });

  it('follows redirections of small files', async () => {
    hub.faults.redirectSmall = true;
    const config = await download({}, { repo: 'owner/repo', path: 'sub/config.json' });
    expect(checksumOf(config)).toBe(sha256(small));
  });

  it('asks the API for what the headers do not say', async () => {
    hub.faults.hide = ['x-linked-etag', 'x-linked-size', 'x-repo-commit'];
    expect(await download()).toBe(repoPath('snapshots', hub.commit, 'big.pt'));
    hub.faults.noApi = true;
    expect(await refusal(download())).toContain('HF_ENDPOINT');
  });

  it('uses what the cache holds without a network, and says where to put a file otherwise', async () => {
    const offline = () => download({ environment: { ...environment(), HF_HUB_OFFLINE: '1' } });
    const byHand = repoPath('snapshots', 'main', 'big.pt');
    expect(await refusal(offline())).toContain(
      `HF_HUB_OFFLINE is set, and it is not in the cache; put the file at ${byHand}`,
    );
    mkdirSync(dirname(byHand), { recursive: true });
    writeFileSync(byHand, large);
    expect(await offline()).toBe(byHand);
    expect(hub.requests).toEqual([]);

    rmSync(join(home, 'hub'), { recursive: true });
    const path = await download();
    expect(await offline()).toBe(path);
    await hub.close();
    events = [];
    expect(await download()).toBe(path);
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'unreachable', reason: expect.stringContaining('refused') }),
    );
    const other = { repo: 'owner/repo', path: 'other.pt' };
    expect(await refusal(download({}, other))).toContain(
      `cannot reach ${hub.endpoint}: the connection was refused, and it is not in the cache; ` +
        `put the file at ${repoPath('snapshots', hub.commit, 'other.pt')}`,
    );
  });

  it('begins no download for which there is no room', async () => {
    const fetchHuge: typeof fetch = async (input, init) => {
      const { status, headers } = await fetch(input, init);
      const changed = new Headers(headers);
      changed.set('X-Linked-Size', String(2 ** 52));
      return new Response(null, { status, headers: changed });
    };
    expect(await refusal(download({ fetch: fetchHuge }))).toMatch(/4503599.6 GB are needed in .* are free/);
    expect(hub.contentRequests()).toEqual([]);
  });

  it('says what to do about a cache that cannot be written', async () => {
    writeFileSync(join(home, 'hub'), 'a file where the folder should be');
    expect(await refusal(download())).toMatch(/cannot write into the cache .*models--owner--repo.*HF_HOME/);
  });

  it('lets others wait for a download, and use it', async () => {
    hub.faults.trickle = 20_000;
    const paths = await Promise.all([download(), download(), download()]);
    expect(new Set(paths).size).toBe(1);
    expectWhole(paths[0]);
    expect(hub.contentRequests()).toHaveLength(1);
    expect(kinds()).toContain('waiting');
  });

  it('takes over from a process that died', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.on('exit', resolve));
    mkdirSync(dirname(blob()), { recursive: true });
    writeFileSync(incomplete(), large.subarray(0, 1000));
    writeFileSync(`${blob()}.acdit-lock`, await lockText({ pid: child.pid!, started: '1' }));
    expectWhole(await download());
    expect(hub.contentRequests()).toEqual([expect.stringContaining('[bytes=1000-]')]);
    expect(readdirSync(repoPath('blobs'))).toEqual([sha256(large)]);
  });

  it('removes the lock of a process that was killed when its download was done', async () => {
    await download();
    writeFileSync(`${blob()}.acdit-lock`, await lockText({ started: '1' }));
    expectWhole(await download());
    expect(readdirSync(repoPath('blobs'))).toEqual([sha256(large)]);
    writeFileSync(`${blob()}.acdit-lock`, await lockText({}));
    expectWhole(await download());
    expect(readdirSync(repoPath('blobs'))).toHaveLength(2); // a living process has it
  });

  it('takes over from another machine that gives no sign of life', async () => {
    mkdirSync(dirname(blob()), { recursive: true });
    const lock = `${blob()}.acdit-lock`;
    writeFileSync(lock, await lockText({ host: 'elsewhere', space: 'elsewhere', pid: 1 }));
    const waiting = new AbortController();
    const onEvent = (event: HubEvent): void => {
      if (event.kind === 'waiting') waiting.abort('waited');
    };
    await expect(download({ signal: waiting.signal, onEvent })).rejects.toBe('waited');
    const longAgo = new Date(Date.now() - 660_000);
    utimesSync(lock, longAgo, longAgo);
    expectWhole(await download());
  });
});

/** The lock of another process. */
async function lockText(owner: Partial<ProcessIdentity>): Promise<string> {
  return JSON.stringify({ ...(await thisProcess()), token: 'another', ...owner });
}

describe('a hub that misbehaves', () => {
  const delays = (): number[] => events.flatMap((event) => (event.kind === 'retry' ? [event.delay] : []));

  it.each([
    ['Retry-After', '1'],
    ['RateLimit', '"resolvers";r=0;t=1'],
  ])('is asked again when it wants to be, by %s', async (...wait) => {
    Object.assign(hub.faults, { wait, lookupStatuses: [429], contentStatuses: [503] });
    expectWhole(await download());
    expect(delays()).toEqual([1000, 1000]);
  });

  it('is not waited for longer than five minutes', async () => {
    hub.faults.wait = ['Retry-After', '301'];
    hub.faults.contentStatuses = [429];
    expect(await refusal(download())).toContain(
      'the hub answers 429 and asks to wait 301 s; 0 bytes of 300 kB',
    );
    expectWhole(await download());
    hub.faults.lookupStatuses = [503];
    expectWhole(await download());
    expect(kinds().slice(-2)).toEqual(['unreachable', 'cached']);
    expect(delays()).toEqual([]);
  });

  it('is given up when it sends a few bytes per second', async () => {
    hub.faults.trickle = 1; // at most 200 bytes per second
    expect(await refusal(download({ stallTimeout: 300 }))).toMatch(/only \d+ bytes in 0 s, 6 times in a row/);
    delete hub.faults.trickle;
    expectWhole(await download());
  });

  it.each(['http://[bad', 'http://user:sekret@127.0.0.1/', 'file:///etc/passwd', 'ftp://127.0.0.1/a'])(
    'and redirects to %s is named',
    async (address) => {
      hub.faults.redirectContent = address;
      const messages = [await refusal(download())];
      hub.faults.redirectLookup = address;
      messages.push(await refusal(download()));
      for (const message of messages) {
        expect(message).toContain('redirects to an address that cannot be fetched');
        expect(message).not.toContain('sekret');
      }
    },
  );

  it('and lists files without end is read to a limit', async () => {
    for (const size of [10, 4e6]) {
      hub.faults.endlessList = size;
      const before = hub.requests.length;
      expect(await refusal(download({}, { repo: 'owner/repo', path: 'bag.pt' }))).toContain(
        'holds no bag.pt',
      );
      expect(hub.requests.length - before).toBeLessThan(15);
    }
  });
});

describe('secrets of the hub', () => {
  it('are the user name and password of its address, which it alone gets', async () => {
    hub.faults.authorization = 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='; // RFC 7617
    const withPassword = hub.endpoint.replace('//', '//Aladdin:open%20sesame@');
    const environment = { HF_HOME: home, HF_ENDPOINT: withPassword };
    expectWhole(await download({ environment }));
    expect(hub.leakedTokens).toEqual([]);
    expect(await refusal(download({ environment }, { repo: 'owner/repo', path: 'bag.pt' }))).toContain(
      'big.pt',
    );
    await hub.close();
    const message = await refusal(download({ environment }, { repo: 'owner/repo', path: 'other.pt' }));
    expect(message).toContain('cannot reach http://127.0.0.1');
    expect(message).not.toMatch(/Aladdin|sesame/);
  });
});

describe('a cache that others can write to', () => {
  const victim = (): string => join(home, 'victim');
  const other = (): Uint8Array => pattern(300_001).subarray(1);

  it.each([
    ['symbolic link', symlinkSync],
    ['second name', linkSync],
  ])('has no %s written through for a download', async (_, plant) => {
    writeFileSync(victim(), 'precious');
    mkdirSync(dirname(incomplete()), { recursive: true });
    plant(victim(), incomplete());
    expect(await refusal(download())).toContain('.incomplete is a link or not a regular file; remove it');
    expect(readFileSync(victim(), 'utf8')).toBe('precious');
  });

  it('has links of refs replaced, not followed', async () => {
    writeFileSync(victim(), 'precious');
    mkdirSync(repoPath('refs'), { recursive: true });
    symlinkSync(victim(), repoPath('refs', 'main'));
    await download();
    expect(readFileSync(victim(), 'utf8')).toBe('precious');
    expect(readFileSync(repoPath('refs', 'main'), 'utf8')).toBe(hub.commit);
  });

  it.each([
    ['refs', 'refs'],
    ['snapshots', 'snapshots'],
    ['a snapshot', 'snapshots/COMMIT'],
  ])('has no files made behind a link of %s', async (_, path) => {
    const place = repoPath(...path.replace('COMMIT', hub.commit).split('/'));
    mkdirSync(join(home, 'elsewhere'));
    writeFileSync(join(home, 'elsewhere', 'big.pt'), 'precious');
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(home, 'elsewhere'), place);
    expect(await refusal(download())).toContain(
      'is a link that leads out of its folder in the cache; remove it',
    );
    expect(readdirSync(join(home, 'elsewhere'))).toEqual(['big.pt']);
    expect(readFileSync(join(home, 'elsewhere', 'big.pt'), 'utf8')).toBe('precious');
  });

  it('has links of a snapshot that lead elsewhere replaced, with a network', async () => {
    writeFileSync(victim(), other());
    const path = await download();
    rmSync(path);
    symlinkSync(victim(), path);
    expectWhole(await download());
    expect(readlinkSync(path)).toBe(`../../blobs/${sha256(large)}`);
    rmSync(path);
    symlinkSync(victim(), path);
    const offline = { environment: { ...environment(), HF_HUB_OFFLINE: '1' } };
    expect(await refusal(download(offline))).toContain('it is not in the cache');
    expect(kinds()).toContain('damaged');
    expect(checksumOf(victim())).toBe(sha256(other()));
  });

  it('has blobs with other content replaced, whatever their size and times', async () => {
    await download();
    const { atime, mtime } = statSync(blob());
    writeFileSync(blob(), other());
    utimesSync(blob(), atime, mtime);
    const offline = { environment: { ...environment(), HF_HUB_OFFLINE: '1' } };
    expect(await refusal(download(offline))).toContain('it is not in the cache');
    expectWhole(await download());
    expect(kinds()).toContain('damaged');

    // Another program's blob that was never looked at, and one known by its commit.
    rmSync(join(home, 'acdit'), { recursive: true });
    writeFileSync(blob(), other());
    expectWhole(await downloadFile({ ...big, revision: hub.commit }, options()));
    rmSync(repoPath('snapshots'), { recursive: true });
    writeFileSync(blob(), other());
    expectWhole(await download());
    expect(hub.contentRequests()).toHaveLength(4);
  });

  it('is read once, not each time', async () => {
    await download();
    rmSync(join(home, 'acdit'), { recursive: true });
    for (const checks of [1, 0, 0]) {
      events = [];
      await download();
      expect(events.filter(({ kind }) => kind === 'verify')).toHaveLength(checks);
    }
  });
});

describe('weights in several files', () => {
  const config = tinyConfig({});
  const weights = formulaWeights(config);
  const inRepo = (files: Record<string, Uint8Array>): Record<string, Uint8Array> =>
    Object.fromEntries(Object.entries(files).map(([name, bytes]) => [`owner/repo/${name}`, bytes]));
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

  it('are fetched with their index, by the folder or the index, and found again offline', async () => {
    const index = 'model.safetensors.index.json';
    hub = await startHub(inRepo({ 'config.json': json(config), ...shards(index, [...weights]) }));
    const folder = await fetchModel('owner/repo', options());
    expect(folder).toBe(repoPath('snapshots', hub.commit));
    expect(await loadModel(folder)).toEqual({ config, weights });
    expect(await fetchModel(`owner/repo/${index}`, options())).toBe(join(folder, index));
    const offline = { ...options(), environment: { ...environment(), HF_HUB_OFFLINE: '1' } };
    expect(await loadModel(await fetchModel('owner/repo', offline))).toEqual({ config, weights });
  });

  it('of an autoencoder are, too', async () => {
    const index = 'diffusion_pytorch_model.safetensors.index.json';
    hub = await startHub(
      inRepo({
        'vae/config.json': small,
        ...Object.fromEntries(
          Object.entries(shards(index, [...weights])).map(([name, bytes]) => [`vae/${name}`, bytes]),
        ),
      }),
    );
    const folder = await fetchAutoencoder('owner/repo', options());
    expect(readdirSync(folder).sort()).toEqual(
      ['config.json', ...Object.keys(shards(index, [...weights]))].sort(),
    );
  });

  it('are not fetched from elsewhere', async () => {
    const index = json({ weight_map: { a: '../../../other/repo/x.safetensors' } });
    hub = await startHub(inRepo({ 'config.json': json(config), 'model.safetensors.index.json': index }));
    await expect(fetchModel('owner/repo', options())).rejects.toThrow(/in the same folder, without a path/);
  });
});

describe('fetchModel', () => {
  it('takes revisions with a slash, and addresses of pages', async () => {
    const files = { 'owner/repo/config.json': small, 'owner/repo/model.safetensors': large };
    hub = await startHub(files);
    hub.faults.revisions = ['refs/pr/1', 'feature/x'];
    const folder = (): string => repoPath('snapshots', hub.commit);
    for (const name of ['owner/repo@refs/pr/1', 'owner/repo@feature%2Fx', 'hf://owner/repo', 'owner/repo']) {
      expect(await fetchModel(name, options())).toBe(folder());
    }
    expect(readFileSync(repoPath('refs', 'refs', 'pr', '1'), 'utf8')).toBe(hub.commit); // as Python does
    for (const page of ['', '/', '/tree/main', '/tree/refs%2Fpr%2F1/', '?library=x#usage']) {
      expect(await fetchModel(`${hub.endpoint}/owner/repo${page}`, options())).toBe(folder());
    }
    const file = `${hub.endpoint}/owner/repo/blob/main/model.safetensors?download=true`;
    expect(await fetchModel(file, options())).toBe(join(folder(), 'model.safetensors'));
    // The list of files is asked for at the revision.
    const missing = await refusal(fetchModel('owner/repo@refs/pr/1/a.pt', options()));
    expect(missing).toContain('owner/repo@refs/pr/1 holds no a.pt');
    expect(missing).toContain('It holds model.safetensors, config.json');
  });

  it('says what an address should be, without what may be secret in it', async () => {
    const wrong = await refusal(
      fetchModel('https://user:sekret@other.example/owner/repo?sig=sekret', options()),
    );
    expect(wrong).toContain(`not the address of a model on the hub; expected ${hub.endpoint}/owner/repo`);
    expect(wrong).not.toContain('sekret');
  });
});

describe('fetchAutoencoder', () => {
  it('finds the folder and the best weights, of one commit', async () => {
    const weights = (ending: string): string => `diffusion_pytorch_model.${ending}`;
    hub = await startHub({
      'owner/plain/config.json': small,
      [`owner/plain/${weights('bin')}`]: large,
      [`owner/plain/${weights('fp16.safetensors')}`]: large,
      'owner/pipeline/config.json': small, // of another part
      'owner/pipeline/vae/config.json': small,
      [`owner/pipeline/vae/${weights('safetensors')}`]: large,
      'owner/empty/vae/config.json': small,
    });
    const fetched = async (name: string): Promise<[string, string[]]> => {
      const path = await fetchAutoencoder(name, options());
      return [path.slice(join(home, 'hub').length), readdirSync(path).sort()];
    };
    const snapshot = (repo: string): string => `/models--owner--${repo}/snapshots/${hub.commit}`;
    const files = (ending: string): string[] => ['config.json', weights(ending)];
    expect(await fetched('owner/plain')).toEqual([snapshot('plain'), files('bin')]);
    for (const name of ['owner/pipeline', 'owner/pipeline/vae']) {
      expect(await fetched(name)).toEqual([`${snapshot('pipeline')}/vae`, files('safetensors')]);
    }
    expect(await refusal(fetchAutoencoder('owner/empty', options()))).toContain(
      'holds no vae/diffusion_pytorch_model.safetensors',
    );
    expect(await refusal(fetchAutoencoder('vae', options()))).toContain('expected owner/repo');
  });
});
