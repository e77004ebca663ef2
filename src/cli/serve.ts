/** @file `acdit serve`: models over HTTP. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ModelSource, type ServeOptions, startServer } from '../server/serve.ts';
import { bundledModel } from './bundled-model.ts';
import { checkpointFlags, openChosenModel, openOptions } from './checkpoint-flags.ts';
import { defineCommand, type Terminal } from './command.ts';
import { deviceFlags, deviceName } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { modelPath } from './model-path.ts';
import { packageVersion } from './package-version.ts';
import { vaePath } from './vae-path.ts';
import { wholeNumber } from './values.ts';

const serveFlags = {
  port: { type: 'string', value: 'N', help: 'port to listen on (8000); 0 for any that is free' },
  host: { type: 'string', value: 'NAME', help: 'address to listen on (127.0.0.1); 0.0.0.0 for all' },
  batch: { type: 'string', value: 'N', help: 'samples of a model that are worked on at once (16)' },
  queue: { type: 'string', value: 'N', help: 'requests for a model that may wait (64); more get 429' },
  'max-n': { type: 'string', value: 'N', help: 'most samples of a request (10)' },
  'max-steps': { type: 'string', value: 'N', help: 'most steps of a block (250)' },
  'max-blocks': {
    type: 'string',
    value: 'N',
    help: "most blocks of a clip (64); a model's own are always allowed",
  },
  'max-body': { type: 'string', value: 'KB', help: 'largest body of a request (4096)' },
  deadline: { type: 'string', value: 'S', help: 'seconds that a request may take, waiting included (600)' },
  grace: {
    type: 'string',
    value: 'S',
    help: 'seconds for requests to be finished when the server ends (30)',
  },
  'api-key': { type: 'string', value: 'KEY', help: 'clients must send it (the variable ACDIT_API_KEY)' },
  cors: {
    type: 'string',
    value: 'ORIGINS',
    help: 'origins whose pages may use the server, with commas between; * for all',
  },
  web: { type: 'string', value: 'DIR', help: "folder of a web app to serve at / (the package's own)" },
  vae: {
    type: 'string',
    value: 'DIR',
    help: 'autoencoder of models of latents: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
  },
  ...checkpointFlags,
  ...deviceFlags,
} as const satisfies Flags;

/** `src/cli` and `dist/cli` are equally deep in the package. */
const WEB_APP = fileURLToPath(new URL('../../web/dist', import.meta.url));

type ServeValues = FlagValues<typeof serveFlags>;

export const serveCommand = defineCommand({
  name: 'serve',
  positionals: ['[MODEL…]'],
  summary:
    "Serve models over HTTP: OpenAI's image and video API, and streams of blocks as they are made. MODEL is as for acdit\n" +
    'sample, or NAME=MODEL to choose what clients call it. Without one, the bundled models.',
  flags: serveFlags,
  run: ({ values, positionals }, terminal) => serve(positionals, values, terminal),
});

async function serve(names: readonly string[], values: ServeValues, terminal: Terminal): Promise<undefined> {
  const { stdout, stderr, signal } = terminal;
  const options = serveOptions(values, stderr);
  const grace = number('grace', values.grace, 30, 0);
  const models: ModelSource[] = [];
  for (const name of names.length > 0 ? names : [bundledModel('image'), bundledModel('video')]) {
    models.push(await modelSource(name, values, terminal));
  }
  signal.throwIfAborted();
  const server = await startServer({ ...options, models, version: await packageVersion() });
  stdout.write(`serving ${server.models.join(', ')} at ${server.url}\n`);
  if (!signal.aborted) await once(signal, 'abort');
  await server.close(grace);
}

function serveOptions(
  values: ServeValues,
  stderr: Terminal['stderr'],
): Omit<ServeOptions, 'models' | 'version'> {
  const batch = number('batch', values.batch, 16);
  return {
    batch,
    host: values.host ?? '127.0.0.1',
    port: number('port', values.port, 8000, 0),
    device: deviceName(values),
    threads: values.threads === undefined ? availableParallelism() : wholeNumber('threads', values.threads),
    queue: number('queue', values.queue, 64, 0),
    limits: {
      samples: number('max-n', values['max-n'], 10),
      steps: number('max-steps', values['max-steps'], 250),
      blocks: number('max-blocks', values['max-blocks'], 64),
      body: 1024 * number('max-body', values['max-body'], 4096),
      deadline: number('deadline', values.deadline, 600),
      videos: 100,
    },
    apiKey: values['api-key'] ?? process.env.ACDIT_API_KEY,
    cors: values.cors?.split(',').map((origin) => origin.trim()),
    web: values.web ?? builtWebApp(),
    log: (message) => stderr.write(`acdit: ${message}\n`),
  };
}

function number(flag: string, text: string | undefined, fallback: number, minimum = 1): number {
  return text === undefined ? fallback : wholeNumber(flag, text, minimum);
}

/** The folder of the package's web app, if it is built. */
function builtWebApp(): string | undefined {
  return existsSync(join(WEB_APP, 'index.html')) ? WEB_APP : undefined;
}

/** `MODEL` or `NAME=MODEL`. */
async function modelSource(text: string, values: ServeValues, terminal: Terminal): Promise<ModelSource> {
  const [, id, name] = /^([\w.-]+)=(.+)$/.exec(text) ?? [undefined, undefined, text];
  const path = await modelPath(name, terminal, false);
  const model = await openChosenModel(path, values);
  const { config } = model;
  await model.archive.close();
  const folder = config.space === 'latents' ? await vaePath(config, values.vae, terminal, false) : undefined;
  return { path, open: openOptions(values), ...(id !== undefined && { id }), vae: folder };
}
