import { describe, expect, it } from 'vitest';
import { describeLocation, parseHubName, requireLocation } from './names.ts';

describe('parseHubName', () => {
  it.each([
    ['ACDiT-XL-img', 'JamesHujy/ACDiT', 'main', 'ACDiT-XL-img.pt'],
    ['ACDiT-H-vid.pt', 'JamesHujy/ACDiT', 'main', 'ACDiT-H-vid.pt'],
    ['owner/repo', 'owner/repo', 'main', ''],
    ['owner/repo/', 'owner/repo', 'main', ''],
    ['owner/re.po_1/a/b.pt', 'owner/re.po_1', 'main', 'a/b.pt'],
    ['owner/repo@v1.0/a.pt', 'owner/repo', 'v1.0', 'a.pt'],
    ['facebook/DiT-XL-2-256/vae', 'facebook/DiT-XL-2-256', 'main', 'vae'],
  ])('%s', (name, repo, revision, path) => {
    expect(parseHubName(name)).toEqual({ repo, revision, path });
  });

  it.each([
    ...['ACDiT-S-img', 'model.pt', '', '/owner/repo', './repo', '../repo/a', '~/models/a.pt', 'a//b'],
    ...['owner/repo/../b', 'owner/repo/./b', 'owner/repo//b', 'C:\\models\\a.pt', 'owner/repo/a\\b', 'a/b@'],
    ...['a/b@c@d', 'a/b/c:d'],
  ])('%s is none', (name) => {
    expect(parseHubName(name)).toBeUndefined();
  });
});

describe('describeLocation', () => {
  it('leaves out what is usual, and shortens commits', () => {
    expect(describeLocation({ repo: 'a/b', revision: 'main', path: 'c/d' })).toBe('a/b/c/d');
    expect(describeLocation({ repo: 'a/b', revision: '0123456789'.repeat(4), path: '' })).toBe(
      'a/b@01234567',
    );
  });
});

describe('requireLocation', () => {
  it.each([
    { repo: 'a', revision: 'main', path: 'c' },
    { repo: '../b', revision: 'main', path: 'c' },
    { repo: 'a/b', revision: '..', path: 'c' },
    { repo: 'a/b', revision: 'main', path: 'c/../../d' },
    { repo: 'a/b', revision: 'main', path: '/etc/passwd' },
    { repo: 'a/b', revision: 'main', path: '..\\d' },
  ])('refuses $repo $revision $path', (location) => {
    expect(() => requireLocation(location)).toThrow('is no file on the hub');
  });
});
