import { describe, expect, it } from 'vitest';
import { HubError } from '../errors.ts';
import { openHub } from './connection.ts';
import { listedFile, listRepository } from './listing.ts';

const location = { repo: 'owner/name', revision: 'main', path: 'model.pt' };

/** A hub that answers every question with a text. */
const hubThatSays = (text: string) =>
  openHub({
    environment: { HF_ENDPOINT: 'https://hub.example', HF_HOME: 'no-such-folder' },
    fetch: async () => new Response(text),
  });

describe('what the API answers', () => {
  it.each(['', '[{"type":"file"', '{}', 'null', '[null]', '<html>', '12'])(
    'is refused if it is not a list: %s',
    async (text) => {
      const hub = await hubThatSays(text);
      await expect(listRepository(hub, location)).rejects.toThrow(HubError);
    },
  );

  it('is one printable line in messages', async () => {
    const hub = await hubThatSays('\u001b[31m\r\n\u202e');
    const error = await listedFile(hub, location).catch((reason) => reason);
    expect(error).toBeInstanceOf(HubError);
    expect(error.message).toMatch(/^https:\/\/hub\.example does not answer as the Hugging Face Hub does/);
    expect(error.message).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  it('gives names and checksums only if they are texts', async () => {
    const file = { type: 'file', path: 7, oid: ['a'], size: 1, lastCommit: { id: ['b'] } };
    expect(
      await listRepository(await hubThatSays(JSON.stringify([file, { ...file, path: 'a.pt' }])), location),
    ).toEqual(['a.pt']);
    const listed = await listedFile(await hubThatSays(JSON.stringify([file])), location);
    expect(listed).toEqual({ commit: undefined, checksum: undefined, size: 1 });
  });
});
