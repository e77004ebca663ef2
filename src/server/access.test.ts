import { describe, expect, it } from 'vitest';
import { allowedOrigins, cleanHost, hostRules } from './access.ts';
import { cleanPublicUrl } from './addresses.ts';

describe('the rules for hosts', () => {
  const local = { host: 'localhost', address: '127.0.0.1', hasKey: false };
  const open = { host: '0.0.0.0', address: '0.0.0.0', hasKey: false };

  it('are known names on loopback, and once some are given', () => {
    expect(hostRules(local)).toEqual({ names: ['localhost'], others: 'none' });
    expect(hostRules({ ...local, address: '::1', hasKey: true }).others).toBe('none');
    expect(hostRules({ ...local, address: '127.8.0.1' }).others).toBe('none');
    expect(hostRules({ ...open, hasKey: true, allowHost: ['Box.Example'] })).toEqual({
      names: ['box.example', '0.0.0.0'],
      others: 'none',
    });
    const published = hostRules({ ...open, publicUrl: 'https://api.example/acdit' });
    expect(published).toEqual({ names: ['api.example', '0.0.0.0'], others: 'none' });
  });

  it('are addresses elsewhere, and any name where a key is needed', () => {
    expect(hostRules(open).others).toBe('addresses');
    expect(hostRules({ ...open, host: '::', address: '::' })).toEqual({
      names: ['[::]'],
      others: 'addresses',
    });
    expect(hostRules({ ...open, hasKey: true }).others).toBe('any');
  });

  it('take names and addresses, not URLs', () => {
    expect(['A.example', '::1', '[::1]', '10.0.0.1', 'a.example.'].map(cleanHost)).toEqual([
      ...['a.example', '[::1]', '[::1]', '10.0.0.1', 'a.example'],
    ]);
    for (const text of [
      '',
      '*',
      'a:80',
      '[::1]:80',
      'http://a',
      'a/b',
      'a b',
      'u@a',
      'a?b',
      'http://u:secret@a',
    ]) {
      expect(() => cleanHost(text)).toThrow(/^(?!.*secret).*is not a host/);
    }
  });
});

describe('origins', () => {
  it('are as browsers send them', () => {
    const given = [
      'https://A.example/',
      'http://a.example:80',
      'http://a.example:8080',
      ' https://b.example ',
    ];
    expect(allowedOrigins([...given, 'chrome-extension://abc/'])).toEqual({
      origins: [
        ...['https://a.example', 'http://a.example', 'http://a.example:8080', 'https://b.example'],
        'chrome-extension://abc',
      ],
      any: false,
    });
    expect(allowedOrigins(['*']).any).toBe(true);
    expect(allowedOrigins(undefined)).toEqual({ origins: [], any: false });
  });

  it('have a scheme and no path', () => {
    expect(() => allowedOrigins(['a.example'])).toThrow('give https://a.example or similar');
    expect(() => allowedOrigins(['https://u:secret@a.example'])).toThrow("'https://...@a.example' is not");
    const wrong = ['', 'null', 'https://', 'https://a/b', 'https://*.a', 'https://u@a', 'https://a?b', '**'];
    for (const text of wrong) expect(() => allowedOrigins([text])).toThrow('is not an origin');
  });
});

describe('a public URL', () => {
  it('has no slash at its end, and no parts but host and path', () => {
    expect(cleanPublicUrl('https://A.example')).toBe('https://a.example');
    expect(cleanPublicUrl('https://a.example:8443/x/')).toBe('https://a.example:8443/x');
    for (const text of ['a.example', 'ftp://a', 'https://u:secret@a', 'https://a?b', 'https://a#b', '']) {
      expect(() => cleanPublicUrl(text)).toThrow(/^(?!.*secret).*http or https URL/);
    }
  });
});
