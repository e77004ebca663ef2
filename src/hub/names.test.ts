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
    // As in Python's HfFileSystem, whose special revisions are refs/pr/N and refs/convert/NAME.
    ['owner/repo@refs/pr/1', 'owner/repo', 'refs/pr/1', ''],
    ['owner/repo@refs/pr/12/a/b.pt', 'owner/repo', 'refs/pr/12', 'a/b.pt'],
    ['owner/repo@refs/convert/onnx/a', 'owner/repo', 'refs/convert/onnx', 'a'],
    ['owner/repo@refs%2Fpr%2F1/a.pt', 'owner/repo', 'refs/pr/1', 'a.pt'],
    ['owner/repo@feature%2Fx/a.pt', 'owner/repo', 'feature/x', 'a.pt'],
    ['hf://owner/repo', 'owner/repo', 'main', ''],
    ['hf://owner/repo@v1/a.pt', 'owner/repo', 'v1', 'a.pt'],
    ['hf://models/owner/repo/a.pt', 'owner/repo', 'main', 'a.pt'],
    ['https://huggingface.co/owner/repo', 'owner/repo', 'main', ''],
    ['https://huggingface.co/owner/repo/', 'owner/repo', 'main', ''],
    ['https://hf.co/owner/repo?library=transformers#usage', 'owner/repo', 'main', ''],
    ['https://huggingface.co/owner/repo/tree/main', 'owner/repo', 'main', ''],
    ['https://huggingface.co/owner/repo/tree/v1/a/b/', 'owner/repo', 'v1', 'a/b'],
    ['https://huggingface.co/owner/repo/tree/refs%2Fpr%2F1', 'owner/repo', 'refs/pr/1', ''],
    ['https://huggingface.co/owner/repo/blob/refs/pr/1/a.pt', 'owner/repo', 'refs/pr/1', 'a.pt'],
    ['https://huggingface.co/owner/repo/blob/main/a%20b.pt', 'owner/repo', 'main', 'a b.pt'],
    ['https://huggingface.co/owner/repo/resolve/main/a/b.pt?download=true', 'owner/repo', 'main', 'a/b.pt'],
    ['http://mirror:81/hf/owner/repo/tree/v1/a', 'owner/repo', 'v1', 'a'],
  ])('%s', (name, repo, revision, path) => {
    expect(parseHubName(name, 'http://mirror:81/hf')).toEqual({ repo, revision, path });
  });

  it.each([
    ...['ACDiT-S-img', 'model.pt', '', '/owner/repo', './repo', '../repo/a', '~/models/a.pt', 'a//b'],
    ...['owner/repo/../b', 'owner/repo/./b', 'owner/repo//b', 'C:\\models\\a.pt', 'owner/repo/a\\b', 'a/b@'],
    ...['a/b@c@d', 'a/b/c:d', 'a/b@%2E%2E/c', 'a/b@v%2F..%2F..%2Fc/d', 'a/b@%zz', 'a/b@v1%00/c', 'a/b\n'],
    ...['https://huggingface.co/', 'https://huggingface.co/owner', 'https://other.co/owner/repo'],
    ...['https://huggingface.co.evil/owner/repo', 'https://huggingface.co@evil/owner/repo', 'hf://'],
    ...['https://huggingface.co/datasets/owner/data', 'https://huggingface.co/owner/repo/discussions/1'],
    ...['https://huggingface.co/owner/repo/tree/main/..%2F..%2Fa', 'ftp://huggingface.co/owner/repo'],
    ...['http://mirror:81/other/owner/repo', 'hf://datasets/owner/data'],
  ])('%s is none', (name) => {
    expect(parseHubName(name, 'http://mirror:81/hf')).toBeUndefined();
  });
});

describe('describeLocation', () => {
  it('leaves out what is usual, and shortens commits', () => {
    expect(describeLocation({ repo: 'a/b', revision: 'main', path: 'c/d' })).toBe('a/b/c/d');
    expect(describeLocation({ repo: 'a/b', revision: '0123456789'.repeat(4), path: '' })).toBe(
      'a/b@01234567',
    );
    for (const name of ['a/b@refs/pr/1/c', 'a/b@feature%2Fx/c', 'a/b@v1/c']) {
      expect(describeLocation(parseHubName(name)!)).toBe(name);
    }
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
    expect(() => requireLocation(location)).toThrow('is not a file on the hub');
  });
});
