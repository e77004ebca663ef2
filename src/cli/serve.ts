/** @file `acdit serve`: models over HTTP. */

import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import { packageVersion } from '../package-version.ts';
import { requireSamplingMemory } from '../runs/checks.ts';
import { bundledModel, decoderPath, hubModelName, modelPath } from '../runs/model-path.ts';
import { machine } from '../runtime/machine.ts';
import { DEFAULT_STEPS } from '../sampling/settings.ts';
import { MAX } from '../server/api.ts';
import { DEFAULT_CAPACITY, DEFAULT_LIMITS } from '../server/context.ts';
import { DEFAULT_SILENCE, openRedisStore } from '../server/redis/store.ts';
import { type ModelSource, type ServeOptions, startServer } from '../server/serve.ts';
import type { Store } from '../server/store.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, deviceName, precisionFlag } from './device.ts';
import { choiceFlag, countFlag, type Flags, type FlagValues, list } from './flags.ts';
import { checkpointFlags, openChosenModel, openOptions } from './shared-flags.ts';

const LOG_FORMATS = ['text', 'json'] as const;
const KB = 1024;
/** Max KB of a body: 256 MB, since it becomes one string. */
const MAX_KB = 256 * 1024;

const serveFlags = {
  port: countFlag('port to listen on; 0 for any free one', { minimum: 0, maximum: 65_535, default: 8000 }),
  host: { value: 'NAME', default: '127.0.0.1', help: 'address to listen on; 0.0.0.0 for all' },
  'public-url': { value: 'URL', help: 'URL at which clients reach the server, if it is behind a proxy' },
  'allow-host': {
    value: 'NAMES',
    parse: list((name) => name),
    help: 'additional host names that requests may use, separated by commas',
  },
  batch: countFlag('max samples per model at once', { default: DEFAULT_CAPACITY.batch }),
  queue: countFlag('max waiting requests per model; more get 429', {
    minimum: 0,
    default: DEFAULT_CAPACITY.queue,
  }),
  'max-n': countFlag('max samples per request', { maximum: MAX.samples, default: DEFAULT_LIMITS.samples }),
  'max-steps': countFlag('max steps per block', { maximum: MAX.steps, default: DEFAULT_LIMITS.steps }),
  'max-blocks': countFlag("max blocks of a video; a model's own are always allowed", {
    maximum: MAX.blocks,
    default: DEFAULT_LIMITS.blocks,
  }),
  'max-body': countFlag('max size of a request body', {
    value: 'KB',
    maximum: MAX_KB,
    default: DEFAULT_LIMITS.body / KB,
  }),
  'max-given': countFlag('max size of a request body with blocks to continue', {
    value: 'KB',
    maximum: MAX_KB,
    default: DEFAULT_LIMITS.givenBody / KB,
  }),
  'strict-size': { help: "refuse every image size except the model's own, including OpenAI's sizes" },
  deadline: countFlag('max seconds per request, including waiting', {
    value: 'S',
    default: DEFAULT_LIMITS.deadline,
  }),
  grace: countFlag('seconds to finish requests and videos when the server stops', {
    value: 'S',
    minimum: 0,
    default: 30,
  }),
  store: {
    value: 'URL',
    help: 'Redis or Valkey that several servers share: redis://… or rediss://… (default: $ACDIT_STORE)',
  },
  takeover: countFlag('with --store, seconds of silence after which another server makes a video', {
    value: 'S',
    default: DEFAULT_SILENCE,
  }),
  'max-videos': countFlag('max videos made or kept; beyond that, the oldest finished ones are deleted', {
    default: DEFAULT_LIMITS.videos,
  }),
  drain: countFlag('seconds to accept requests after a signal to stop, while /readyz returns 503', {
    value: 'S',
    minimum: 0,
    default: 0,
  }),
  log: choiceFlag(LOG_FORMATS, 'text, with errors only, or json, with all requests', { default: 'text' }),
  'api-key': { value: 'KEY', help: 'key that clients must send (default: $ACDIT_API_KEY)' },
  cors: {
    value: 'ORIGINS',
    parse: list((origin) => origin),
    help: 'origins of pages that may use the server, as A,B; * for all (default: none)',
  },
  web: { value: 'DIR', help: "web app to serve at / (default: the package's own)" },
  vae: {
    value: 'DIR',
    help: 'autoencoder of models of latents: a diffusers folder, or a name on the Hugging Face Hub',
  },
  ...checkpointFlags,
  precision: precisionFlag,
  ...deviceFlags,
} as const satisfies Flags;

/** `src/cli` and `dist/cli` are equally deep in the package. */
const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));
const WEB_APP = join(PACKAGE, 'web/dist');
const WITHOUT_APP = 'the web app is not built: npm run build:web';

type ServeValues = FlagValues<typeof serveFlags>;

export const command = defineCommand({
  name: 'serve',
  positionals: ['[MODEL…]'],
  summary:
    "Serve models over HTTP: OpenAI's image and video API, and streams of blocks as they are made. MODEL is as for acdit\n" +
    'sample, or NAME=MODEL to choose what clients call it. Without MODEL,\n' +
    `${DEFAULT_MODELS.image} and ${DEFAULT_MODELS.video} are served.`,
  flags: serveFlags,
  examples: ['acdit serve', 'acdit serve fashion-mnist clips=runs/my-clips --port 9000'],
  run: async ({ values, positionals: names }, context) => {
    const { report, signal } = context;
    const version = packageVersion();
    const models = async (): Promise<ModelSource[]> => {
      const sources: ModelSource[] = [];
      for (const name of names.length > 0 ? names : [bundledModel('image'), bundledModel('video')]) {
        sources.push(await modelSource(name, values, context));
      }
      signal.throwIfAborted();
      return sources;
    };
    const { log, access } = logger(values.log, report.say);
    const store = await openStore(values, log);
    try {
      const server = await startServer({ ...serveOptions(values), store, log, access, models, version });
      const app = server.hasApp ? `web app: ${server.url}/` : WITHOUT_APP;
      const details = server.hosts === undefined ? app : `${app}; ${server.hosts}`;
      report.print(`serving ${server.models.join(', ')} at ${server.url} (${details})`);
      if (!signal.aborted) await once(signal, 'abort');
      await server.close(values.grace, values.drain);
    } finally {
      store?.close();
    }
  },
});

/** Returns what logs errors, and in JSON requests too, one line each. */
function logger(
  format: (typeof LOG_FORMATS)[number],
  say: (line: string) => void,
): Required<Pick<ServeOptions, 'log'>> & Pick<ServeOptions, 'access'> {
  if (format === 'text') {
    return {
      log: (message, names) => say(`acdit: ${names ? `request ${names.request_id}: ` : ''}${message}`),
    };
  }
  const write = (level: string, msg: string, fields: object = {}): void =>
    say(JSON.stringify({ time: new Date().toISOString(), level, msg, ...fields }));
  return {
    log: (message, names) => write('error', message, names),
    access: (entry) => write('info', 'request', entry),
  };
}

/** Opens the store that servers share, if one is named. */
async function openStore(values: ServeValues, log: (message: string) => void): Promise<Store | undefined> {
  const url = values.store ?? process.env.ACDIT_STORE;
  if (url === undefined) return undefined;
  return openRedisStore(url, { capacity: values.maxVideos, silence: values.takeover, log });
}

function serveOptions(
  values: ServeValues,
): Omit<ServeOptions, 'models' | 'version' | 'log' | 'access' | 'store'> {
  const { store: _url, log: _format, ...others } = values;
  return {
    ...others,
    device: deviceName(values),
    threads: values.threads ?? machine().cores,
    limits: {
      samples: values.maxN,
      steps: values.maxSteps,
      blocks: values.maxBlocks,
      body: KB * values.maxBody,
      givenBody: KB * values.maxGiven,
      deadline: values.deadline,
      videos: values.maxVideos,
      strictSize: values.strictSize,
    },
    apiKey: values.apiKey ?? process.env.ACDIT_API_KEY,
    ...webApp(values.web),
  };
}

/** Options for the web app to serve: the one that is named, or the package's own if it is built. */
function webApp(named: string | undefined): Pick<ServeOptions, 'web' | 'webPackage'> {
  const web = named ?? (existsSync(join(WEB_APP, 'index.html')) ? WEB_APP : undefined);
  const isOwn = web !== undefined && resolve(web) === WEB_APP;
  return isOwn ? { web, webPackage: PACKAGE } : { web };
}

/** `MODEL` or `NAME=MODEL`. */
async function modelSource(text: string, values: ServeValues, context: CommandContext): Promise<ModelSource> {
  const [, given, name] = /^([\w.-]+)=(.+)$/.exec(text) ?? [undefined, undefined, text];
  const path = await modelPath(name, context);
  const id = given ?? (await hubModelName(name));
  const model = await openChosenModel(path, values, context);
  const { config } = model;
  await model.archive.close();
  if (deviceName(values) === 'cpu') {
    const { batch, precision = model.precision } = values;
    requireSamplingMemory(config, { batch, steps: DEFAULT_STEPS, guided: true, precision });
  }
  const folder = config.space === 'latents' ? await decoderPath(model, values.vae, context) : undefined;
  return { path, open: openOptions(values), ...(id !== undefined && { id }), vae: folder };
}
