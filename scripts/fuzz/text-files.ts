/** @file Readers of JSON and other text: configurations, recipes, the hub's responses, logs. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadClassifier, saveClassifier } from '../../src/checkpoints/classifier.ts';
import { parseConfig } from '../../src/checkpoints/config-json.ts';
import { parseAutoencoderConfig } from '../../src/checkpoints/stored-autoencoder.ts';
import { ConfigError } from '../../src/errors.ts';
import { expectedPath } from '../../src/hub/cache.ts';
import { HubFile, openHub } from '../../src/hub/connection.ts';
import { lookUp } from '../../src/hub/file-info.ts';
import { listedFile, listRepository } from '../../src/hub/listing.ts';
import { parseHubName } from '../../src/hub/names.ts';
import { makeFolders } from '../../src/io/atomic-write.ts';
import { parseJson } from '../../src/io/json.ts';
import { openJsonlTracker, readMetrics } from '../../src/training/logging/jsonl.ts';
import { parseRecipe } from '../../src/training/recipe.ts';
import { configJson, tinyAutoencoder } from '../../test/support/tiny-autoencoder.ts';
import { tinyClassifier } from '../../test/support/tiny-classifier.ts';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { HOSTILE_TEXT } from './damage.ts';
import type { Random } from './random.ts';
import { fileTarget, jsonSample, type Target } from './target.ts';

const decoded = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function configTargets(folder: string): Promise<Target[]> {
  const classifier = join(folder, 'classifier');
  await saveClassifier(classifier, tinyClassifier(['a', 'b']));
  const classifierConfig = join(classifier, 'config.json');
  const recipes = ['fashion-mnist', 'imagenet256-b', 'moving-fashion-mnist', 'ucf101-xl'].map(async (name) =>
    jsonSample(await readFile(fileURLToPath(new URL(`../../recipes/${name}.json`, import.meta.url)), 'utf8')),
  );
  return [
    fileTarget({
      name: 'model config',
      samples: [jsonSample(tinyPixels), jsonSample(tinyClips)],
      read: async (bytes) => void parseConfig(decoded(bytes), 'config.json'),
    }),
    fileTarget({
      name: 'autoencoder config',
      samples: [jsonSample(configJson(tinyAutoencoder))],
      read: async (bytes) => void parseAutoencoderConfig(decoded(bytes), 'config.json'),
    }),
    fileTarget({
      name: 'classifier config',
      samples: [jsonSample(await readFile(classifierConfig, 'utf8'))],
      async read(bytes) {
        await writeFile(classifierConfig, bytes);
        await loadClassifier(classifier);
        return undefined;
      },
    }),
    fileTarget({
      name: 'recipe',
      samples: await Promise.all(recipes),
      read: async (bytes) =>
        void parseRecipe(parseJson(decoded(bytes), 'recipe.json', ConfigError), 'recipe.json'),
    }),
  ];
}

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const LOCATION = { repo: 'owner/name', revision: 'main', path: 'model.safetensors' };
const FILE = {
  type: 'file',
  path: LOCATION.path,
  size: 10,
  oid: COMMIT,
  lastCommit: { id: COMMIT, title: 't', date: '2024' },
};

/** The hub's responses about several files and about one file, and its cache. */
async function hubTargets(folder: string): Promise<Target[]> {
  const environment = { HF_HOME: folder, HF_ENDPOINT: 'https://hub.example' };
  const hubThat = (fetch: typeof globalThis.fetch) => openHub({ environment, fetch, retryDelay: 0 });
  const cache = join(folder, 'hub');
  const ref = join(cache, 'models--owner--name', 'refs', 'main');
  await makeFolders(join(ref, '..'));
  return [
    fileTarget({
      name: 'hub file list',
      samples: [jsonSample([FILE, { type: 'directory', path: 'vae', oid: COMMIT, size: 0 }])],
      async read(bytes) {
        const hub = await hubThat(async () => new Response(Buffer.from(bytes)));
        await listRepository(hub, LOCATION);
        await listedFile(hub, LOCATION);
        return undefined;
      },
    }),
    {
      name: 'hub headers',
      run: async (random) => {
        await lookUp(new HubFile(await hubThat(async () => headAnswer(random)), LOCATION));
        return undefined;
      },
      whole: async () => {},
    },
    fileTarget({
      name: 'hub ref',
      samples: [{ bytes: Buffer.from(`${COMMIT}\n`) }],
      async read(bytes) {
        await writeFile(ref, bytes);
        const hub = await hubThat(async () => new Response());
        const path = await expectedPath(new HubFile(hub, LOCATION));
        if (!path.startsWith(join(cache, 'models--owner--name', 'snapshots')))
          throw new Error(`leads to ${path}`);
        return undefined;
      },
    }),
    fileTarget({
      name: 'hub name',
      samples: [
        'owner/name',
        'owner/name@v1/a/b.pt',
        'hf://owner/name',
        'https://huggingface.co/o/n/tree/main/x',
      ].map((name) => ({ bytes: Buffer.from(name) })),
      async read(bytes) {
        const found = parseHubName(decoded(bytes));
        if (found && /(^|\/)\.{1,2}(\/|$)/.test(`${found.revision}/${found.path}`))
          throw new Error('leads elsewhere');
        return undefined;
      },
    }),
  ];
}

/** A response about a file, with some unusual headers. */
function headAnswer(random: Random): Response {
  const good = {
    'X-Repo-Commit': COMMIT,
    'X-Linked-Etag': `"${COMMIT}"`,
    'X-Linked-Size': '10',
    ETag: `"${COMMIT}"`,
    'Content-Length': '10',
    Location: 'https://cdn.example/x',
    'X-Error-Code': 'EntryNotFound',
  };
  const strange = [
    '',
    '-1',
    '1e999',
    '../..',
    'x'.repeat(3000),
    'ht!tp://[',
    '/',
    'file:///etc/passwd',
    '\u001b[31m',
    '99999999999999999999',
  ];
  const headers = new Headers();
  for (const [name, value] of Object.entries(good)) {
    if (random.oneIn(4)) continue;
    const text = random.oneIn(3) ? random.pick(strange) : value;
    // Values that `Headers` refuses cannot come from the network either.
    if (/^[\t\x20-\x7e]*$/.test(text)) headers.set(name, text);
  }
  const status = random.pick([200, 200, 200, 302, 301, 307, 401, 403, 404, 405, 416, 451]);
  return new Response(null, { status, headers });
}

/** A log, which is read and then continued. */
function logTarget(folder: string): Target {
  const path = join(folder, 'metrics.jsonl');
  const line = (step: number): string =>
    JSON.stringify({ step, time: 1.7e9 + step, loss: 1 / step, note: HOSTILE_TEXT });
  return fileTarget({
    name: 'metrics.jsonl',
    samples: [{ bytes: Buffer.from(`${[1, 2, 3, 4].map(line).join('\n')}\n`) }],
    async read(bytes) {
      await writeFile(path, bytes);
      readMetrics(path);
      const tracker = openJsonlTracker(path, 3);
      tracker.scalars(4, { loss: 1 });
      await tracker.close();
      const steps = readMetrics(path).map(({ step }) => step);
      if (steps.at(-1) !== 4 || steps.slice(0, -1).some((step) => step > 3))
        throw new Error(`has the steps ${steps}`);
      return undefined;
    },
  });
}

/** Returns the targets of all readers of text. */
export async function textTargets(folder: string): Promise<Target[]> {
  return [...(await configTargets(folder)), ...(await hubTargets(folder)), logTarget(folder)];
}
