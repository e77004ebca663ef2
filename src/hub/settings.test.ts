import { writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { HubError } from '../errors.ts';
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

  it.each([
    'htps://user:sekret@mirror',
    'user:sekret@mirror',
    'https://user:sek%ret@mirror/sekret',
    'https://user:sekret@mirror:port',
    'https://mirror/?token=sekret',
    'mirror?token=sekret',
  ])('keeps the secret of an address that is not one, %s', async (HF_ENDPOINT) => {
    const error = await hubSettings({ HF_HOME: '/nowhere', HF_ENDPOINT }).then(
      () => expect.fail('should have been refused'),
      (reason) => reason,
    );
    expect(error).toBeInstanceOf(HubError);
    expect(error.message).toContain('HF_ENDPOINT');
    expect(error.message).not.toMatch(/sek/);
  });

  it('takes a user name and password out of the address', async () => {
    // RFC 7617: base64 of "Aladdin:open sesame".
    const HF_ENDPOINT = 'https://Aladdin:open%20sesame@mirror/hf';
    expect(await hubSettings({ HF_HOME: '/nowhere', HF_ENDPOINT })).toMatchObject({
      endpoint: 'https://mirror/hf',
      basic: 'QWxhZGRpbjpvcGVuIHNlc2FtZQ==',
    });
  });

  it.each([
    ['hf_sek\nret', 'character 7 is a line break'],
    ['hf_sek\r\nX-Evil: ret', 'character 7 is a line break'],
    ['hf_sek ret', 'character 7 is white space'],
    ['hf_sek\u2026ret', 'character 7 is not a visible ASCII character'],
    ['hf_sek\u0000ret', 'character 7 is not a visible ASCII character'],
  ])('refuses the token %j and does not quote it', async (HF_TOKEN, message) => {
    const home = temporaryFolder();
    writeFileSync(join(home, 'token'), HF_TOKEN);
    for (const environment of [{ HF_TOKEN }, {}]) {
      const promise = hubSettings({ HF_HOME: home, ...environment });
      const error = await promise.then(
        () => expect.fail('should have been refused'),
        (reason) => reason,
      );
      expect(error).toBeInstanceOf(HubError);
      expect(error.message).toContain(message);
      expect(error.message).not.toMatch(/sek|ret/);
    }
  });
});
