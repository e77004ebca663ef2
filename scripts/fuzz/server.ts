/** @file The server's requests: JSON and forms for images, videos and streams, in this process. */

import { get } from '../../src/at.ts';
import { PATHS } from '../../src/server/api.ts';
import { tinyServer } from '../../test/support/tiny-server.ts';
import { damagedBytes, damagedJson } from './damage.ts';
import { messageProblem } from './judge.ts';
import type { Random } from './random.ts';
import type { Target } from './target.ts';

const GIVEN = { shape: [1, 1, 4, 4], data: Buffer.alloc(64).toString('base64') };

/** Valid bodies by path. */
const BODIES: Readonly<Record<string, readonly object[]>> = {
  [PATHS.images]: [
    {
      model: 'pictures',
      prompt: 'Sneaker',
      n: 1,
      seed: 1,
      steps: 1,
      cfg_scale: 1.5,
      size: 'auto',
      user: 'u',
    },
    {
      prompt: [0, 1, 2, 'none'],
      steps: [1, 1, 1, 1],
      solver: 'ddim',
      response_format: 'url',
      output_format: 'webp',
    },
    { prompt: '1', steps: 1, stream: true, partial_images: 1 },
  ],
  [PATHS.videos]: [
    { model: 'clips', prompt: 1, steps: 1, seconds: '1', fps: 4 },
    { model: 'clips', prompt: 1, steps: 1, blocks: 2, window: 1, seed: 3 },
  ],
  [PATHS.stream]: [
    {
      model: 'pictures',
      prompts: [0, 'Bag'],
      steps: 1,
      seed: 1,
      preview_every: 1,
      latents: true,
      output_format: 'none',
    },
    { model: 'pictures', prompt: 0, steps: 1, given: GIVEN },
    { model: 'clips', prompt: 1, steps: 1, blocks: 5, window: 2 },
  ],
};

const BOUNDARY = 'x1y2z3';

function formOf(body: object): Uint8Array {
  const parts = Object.entries(body).flatMap(([name, value]) =>
    [value]
      .flat()
      .map((item) => `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${item}\r\n`),
  );
  return Buffer.from(`${parts.join('')}--${BOUNDARY}--\r\n`);
}

interface Body {
  readonly bytes: Uint8Array;
  readonly type: string;
}

function damagedBody(path: string, random: Random): Body {
  const body = random.pick(get(BODIES, path));
  if (path !== PATHS.videos || random.oneIn(2)) {
    return { bytes: damagedJson(JSON.stringify(body), random), type: 'application/json' };
  }
  const type = `multipart/form-data; boundary=${random.oneIn(8) ? 'other' : BOUNDARY}`;
  const changed = random.oneIn(2) ? JSON.parse(validJson(damagedJson(JSON.stringify(body), random))) : body;
  const bytes = formOf(typeof changed === 'object' && changed !== null ? changed : {});
  return { bytes: random.oneIn(2) ? damagedBytes(bytes, random) : bytes, type };
}

function validJson(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  try {
    JSON.parse(text);
    return text;
  } catch {
    return '{}';
  }
}

/** Returns the targets of the server's requests. */
export async function serverTargets(): Promise<Target[]> {
  const server = await tinyServer({ limits: { samples: 2, steps: 3, blocks: 6 } });
  const send = async (path: string, { bytes, type }: Body): Promise<string | undefined> => {
    const response = await server.post(path, bytes, { headers: { 'content-type': type } });
    const text = await response.text();
    const failed = server.errors.splice(0).find(({ status }) => status >= 500);
    if (failed) return `${failed.message}: ${(failed.cause as Error | undefined)?.stack}`;
    if (response.status >= 400) return refusalProblem(response.status, text);
    if (path === PATHS.videos) {
      await server.app.request(`${path}/${JSON.parse(text).id}`, { method: 'DELETE' });
      return undefined;
    }
    const streamed = /^event: error\ndata: (.*)$/m.exec(text)?.[1];
    return streamed === undefined ? undefined : `the stream ended with ${streamed}`;
  };
  return Object.entries(BODIES).map(([path, bodies]) => ({
    name: `POST ${path}`,
    run: (random) => send(path, damagedBody(path, random)),
    async whole() {
      for (const body of bodies) {
        const problem = await send(path, {
          bytes: Buffer.from(JSON.stringify(body)),
          type: 'application/json',
        });
        if (problem !== undefined) throw new Error(problem);
      }
    },
  }));
}

/** Returns the problem of an error response. */
function refusalProblem(status: number, text: string): string | undefined {
  if (status >= 500) return `status ${status}: ${text.slice(0, 200)}`;
  const { error } = JSON.parse(text);
  if (typeof error?.message !== 'string' || typeof error.type !== 'string')
    return `not in OpenAI's shape: ${text}`;
  return messageProblem(error.message) ?? (error.param ? messageProblem(error.param) : undefined);
}
