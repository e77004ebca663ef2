import { describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { openUrl } from './http-source.ts';

const content = Uint8Array.from({ length: 100 }, (_, i) => i);

/** A server of one file, with or without ranges. */
function server(ranges: boolean) {
  const asked: string[] = [];
  const fetch = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const range = new Headers(init?.headers).get('range') ?? '';
    asked.push(range);
    if (!String(url).endsWith('/file')) return new Response('', { status: 404 });
    if (!ranges) return new Response(content);
    const [first, last] = range.replace('bytes=', '').split('-').map(Number);
    return new Response(content.slice(first, last + 1), {
      status: 206,
      headers: { 'content-range': `bytes ${first}-${last}/${content.length}` },
    });
  };
  return { asked, fetch };
}

describe('a file on the network', () => {
  it('is read by ranges', async () => {
    const { asked, fetch } = server(true);
    const source = await openUrl('http://host/file', { fetch });
    expect(source).toMatchObject({ name: 'http://host/file', size: 100 });
    expect(await source.read(10, 3)).toEqual(Uint8Array.of(10, 11, 12));
    expect(await source.read(100, 0)).toEqual(new Uint8Array());
    expect(asked).toEqual(['bytes=0-0', 'bytes=10-12']);
  });

  it('is fetched as a whole, once, where the server knows no ranges', async () => {
    const { asked, fetch } = server(false);
    const source = await openUrl('http://host/file', { fetch });
    expect(source.size).toBe(100);
    expect(await source.read(98, 2)).toEqual(Uint8Array.of(98, 99));
    expect(asked).toHaveLength(1);
  });

  it('refuses ranges outside it', async () => {
    const source = await openUrl('http://host/file', { fetch: server(true).fetch });
    await expect(source.read(99, 2)).rejects.toThrow(FormatError);
  });

  it('that is missing, or changes, is reported', async () => {
    const { fetch } = server(true);
    await expect(openUrl('http://host/none', { fetch })).rejects.toThrow(/http:\/\/host\/none: .*status 404/);
    let calls = 0;
    const shrinking: typeof fetch = async (url, init) => {
      calls += 1;
      return calls === 1 ? fetch(url, init) : new Response(content.slice(0, 1), { status: 206 });
    };
    const source = await openUrl('http://host/file', { fetch: shrinking });
    await expect(source.read(0, 5)).rejects.toThrow(/asked for 5 bytes at 0, got 1/);
  });

  it('that cannot be reached is reported, and a stop is passed on', async () => {
    const offline = async (): Promise<Response> => {
      throw new TypeError('failed to fetch');
    };
    await expect(openUrl('http://host/file', { fetch: offline })).rejects.toThrow(/are you online/);
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(openUrl('http://host/file', { fetch: offline, signal })).rejects.toThrow('stopped');
  });
});
