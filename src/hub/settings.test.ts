import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { hubSettings } from './settings.ts';

describe('hubSettings', () => {
  it.each([
    [{}, join(homedir(), '.cache/huggingface/hub')],
    [{ XDG_CACHE_HOME: '/x' }, '/x/huggingface/hub'],
    [{ HF_HOME: '/h', XDG_CACHE_HOME: '/x' }, '/h/hub'],
    [{ HF_HOME: '~/h' }, join(homedir(), 'h/hub')],
    [{ HF_HUB_CACHE: '/c', HF_HOME: '/h' }, '/c'],
    [{ HUGGINGFACE_HUB_CACHE: '/old', HF_HOME: '/h' }, '/old'],
    [{ HF_HOME: '' }, join(homedir(), '.cache/huggingface/hub')],
  ])('finds the cache of %j', async (environment, cache) => {
    expect((await hubSettings(environment)).cache).toBe(cache);
  });

  it('finds the token in the environment, else in the file of a login', async () => {
    const home = temporaryFolder();
    const token = async (environment: Record<string, string>) =>
      (await hubSettings({ HF_HOME: home, ...environment })).token;
    expect(await token({})).toBeUndefined();
    writeFileSync(join(home, 'token'), 'hf_file\n');
    expect(await token({})).toEqual({ value: 'hf_file', source: join(home, 'token') });
    expect(await token({ HF_TOKEN: 'hf_mine' })).toEqual({ value: 'hf_mine', source: 'HF_TOKEN' });
    writeFileSync(join(home, 'other'), 'hf_other');
    expect((await token({ HF_TOKEN_PATH: join(home, 'other') }))?.value).toBe('hf_other');
  });

  it('knows whether to use the network, and where the hub is', async () => {
    const base = { HF_HOME: '/nowhere' };
    expect(await hubSettings(base)).toMatchObject({ offline: false, endpoint: 'https://huggingface.co' });
    for (const yes of ['1', 'ON', 'yes', 'True']) {
      expect((await hubSettings({ ...base, HF_HUB_OFFLINE: yes })).offline).toBe(true);
    }
    expect((await hubSettings({ ...base, HF_HUB_OFFLINE: '0' })).offline).toBe(false);
    expect((await hubSettings({ ...base, HF_ENDPOINT: 'http://mirror/hf/' })).endpoint).toBe(
      'http://mirror/hf',
    );
    await expect(hubSettings({ ...base, HF_ENDPOINT: 'mirror' })).rejects.toThrow('HF_ENDPOINT');
  });
});
