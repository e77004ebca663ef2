/** @file `acdit serve`: models over HTTP. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printableLines } from '../io/printable.ts';
import { bundledModel } from '../runs/bundled-model.ts';
import { requireSamplingMemory } from '../runs/memory-check.ts';
import { machine } from '../runtime/machine.ts';
import { DEFAULT_STEPS } from '../sampling/request.ts';
import { MOST } from '../server/api.ts';
import { DEFAULT_LIMITS } from '../server/context.ts';
import { type ModelSource, type ServeOptions, startServer } from '../server/serve.ts';
import { checkpointFlags, openChosenModel, openOptions } from './checkpoint-flags.ts';
import { defineCommand, type Terminal } from './command.ts';
import { deviceFlags, deviceName, deviceOptions } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { hubModelName, modelPath } from './model-path.ts';
import { packageVersion } from './package-version.ts';
import { vaePath } from './vae-path.ts';
import { wholeNumber } from './values.ts';

const serveFlags = {
  port: { type: 'string', value: 'N', help: 'port to listen on; 0 for any free one (default: 8000)' },
  host: { type: 'string', value: 'NAME', help: 'address to listen on; 0.0.0.0 for all (default: 127.0.0.1)' },
  'public-url': {
    type: 'string',
    value: 'URL',
    help: 'URL at which clients reach the server, if it is behind a proxy',
  },
  'allow-host': {
    type: 'string',
    value: 'NAMES',
    help: 'additional host names that requests may use, separated by commas',
  },
  batch: { type: 'string', value: 'N', help: 'max samples per model at once (default: 16)' },
  queue: {
    type: 'string',
    value: 'N',
    help: 'max waiting requests per model; more get 429 (default: 64)',
  },
  'max-n': { type: 'string', value: 'N', help: 'max samples per request (default: 10)' },
  'max-steps': { type: 'string', value: 'N', help: 'max steps per block (default: 250)' },
  'max-blocks': {
    type: 'string',
    value: 'N',
    help: "max blocks of a video; a model's own are always allowed (default: 64)",
  },
  'max-body': {
    type: 'string',
    value: 'KB',
    help: 'max size of a request body without given blocks (default: 64)',
  },
  'max-given': {
    type: 'string',
    value: 'KB',
    help: 'max size of a request body with given blocks (default: 4096)',
  },
  'strict-size': { type: 'boolean', help: "refuse every size except the model's own, also OpenAI's" },
  deadline: {
    type: 'string',
    value: 'S',
    help: 'max seconds per request, including waiting (default: 600)',
  },
  grace: {
    type: 'string',
    value: 'S',
    help: 'seconds to finish requests and videos when the server stops (default: 30)',
  },
  'api-key': { type: 'string', value: 'KEY', help: 'key that clients must send (default: $ACDIT_API_KEY)' },
  cors: {
    type: 'string',
    value: 'ORIGINS',
    help: 'origins of pages that may use the server, as A,B; * for all (default: none)',
  },
  web: { type: 'string', value: 'DIR', help: "web app to serve at / (default: the package's own)" },
  vae: {
    type: 'string',
    value: 'DIR',
    help: 'autoencoder of models of latents: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
  },
  ...checkpointFlags,
  ...deviceFlags,
} as const satisfies Flags;

/** `src/cli` and `dist/cli` are equally deep in the package. */
const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));
const WEB_APP = join(PACKAGE, 'web/dist');

const KB = 1024;
/** Max KB of a body: 256 MB, since it becomes one string. */
const MOST_KB = 256 * 1024;

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
  const version = await packageVersion();
  const models = async (): Promise<ModelSource[]> => {
    const sources: ModelSource[] = [];
    for (const name of names.length > 0 ? names : [bundledModel('image'), bundledModel('video')]) {
      sources.push(await modelSource(name, values, terminal));
    }
    signal.throwIfAborted();
    return sources;
  };
  const server = await startServer({ ...options, models, version });
  const hosts = server.hosts === undefined ? '' : ` (${server.hosts})`;
  stdout.write(`serving ${server.models.join(', ')} at ${server.url}${hosts}\n`);
  if (!signal.aborted) await once(signal, 'abort');
  await server.close(grace);
}

function serveOptions(
  values: ServeValues,
  stderr: Terminal['stderr'],
): Omit<ServeOptions, 'models' | 'version'> {
  return {
    batch: batchOf(values),
    host: values.host ?? '127.0.0.1',
    port: number('port', values.port, 8000, 0, 65_535),
    device: deviceName(values),
    threads: deviceOptions(values).threads ?? machine().cores,
    queue: number('queue', values.queue, 64, 0),
    limits: limitsOf(values),
    apiKey: values['api-key'] ?? process.env.ACDIT_API_KEY,
    cors: listOf(values.cors),
    publicUrl: values['public-url'],
    allowHost: listOf(values['allow-host']),
    ...webApp(values.web),
    log: (message) => stderr.write(`acdit: ${printableLines(message)}\n`),
  };
}

function limitsOf(values: ServeValues): ServeOptions['limits'] {
  const { samples, steps, blocks, body, givenBody, deadline } = DEFAULT_LIMITS;
  return {
    samples: number('max-n', values['max-n'], samples, 1, MOST.samples),
    steps: number('max-steps', values['max-steps'], steps, 1, MOST.steps),
    blocks: number('max-blocks', values['max-blocks'], blocks, 1, MOST.blocks),
    body: KB * number('max-body', values['max-body'], body / KB, 1, MOST_KB),
    givenBody: KB * number('max-given', values['max-given'], givenBody / KB, 1, MOST_KB),
    deadline: number('deadline', values.deadline, deadline),
    strictSize: values['strict-size'] ?? false,
  };
}

function batchOf({ batch }: ServeValues): number {
  return number('batch', batch, 16);
}

function listOf(text: string | undefined): string[] | undefined {
  return text?.split(',').map((part) => part.trim());
}

function number(
  flag: string,
  text: string | undefined,
  fallback: number,
  minimum = 1,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  return text === undefined ? fallback : wholeNumber(flag, text, minimum, maximum);
}

/** Options for the web app to serve: the one that is named, or the package's own if it is built. */
function webApp(named: string | undefined): Pick<ServeOptions, 'web' | 'webPackage'> {
  const web = named ?? (existsSync(join(WEB_APP, 'index.html')) ? WEB_APP : undefined);
  const isOwn = web !== undefined && resolve(web) === WEB_APP;
  return isOwn ? { web, webPackage: PACKAGE } : { web };
}

/** `MODEL` or `NAME=MODEL`. */
async function modelSource(text: string, values: ServeValues, terminal: Terminal): Promise<ModelSource> {
  const [, given, name] = /^([\w.-]+)=(.+)$/.exec(text) ?? [undefined, undefined, text];
  const path = await modelPath(name, terminal, false);
  const id = given ?? (await hubModelName(name));
  const model = await openChosenModel(path, values);
  const { config } = model;
  await model.archive.close();
  if (deviceName(values) === 'cpu') {
    requireSamplingMemory(config, { batch: batchOf(values), steps: DEFAULT_STEPS, guided: true });
  }
  const folder = config.space === 'latents' ? await vaePath(config, values.vae, terminal, false) : undefined;
  return { path, open: openOptions(values), ...(id !== undefined && { id }), vae: folder };
}
