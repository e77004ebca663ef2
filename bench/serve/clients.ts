/** @file Clients of the benchmark: they ask, some leave early, and those whose response broke off ask again. */

import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../../src/at.ts';
import { messageOf } from '../../src/attempt.ts';
import type { ImageEvent, ImagesAnswer, StreamEvent, Video, VideoList } from '../../src/server/api.ts';
import { digest, isOfVideo, type Kind, type Task } from './requests.ts';

/** How a request ended. */
export interface Outcome {
  readonly task: Task;
  /** `left`: the client left before the response was complete. */
  readonly end: 'right' | 'wrong' | 'left' | 'lost';
  /** Why it is lost. */
  readonly problem?: string;
  readonly seconds: number;
  /** Streams of it that broke off with an error event, and without one. */
  readonly broken: number;
  readonly silent: number;
  /** Further attempts. */
  readonly again: number;
}

/** A response that broke off, or that no server gave; the client may ask again. */
class Interrupted extends Error {
  readonly how: 'event' | 'silence' | 'connection';

  constructor(how: Interrupted['how'], message: string) {
    super(message);
    this.how = how;
  }
}

/** Attempts of a client until it gives up. */
const ATTEMPTS = 5;
/** Milliseconds between looks at a video. */
const POLL = 200;
const SERVER_GONE = 'server_gone';

/** Sends requests and checks the responses. @param url the balancer */
export function createClients(url: string, expected: readonly string[]) {
  /** The time of complete responses, by kind. */
  const times = new Map<Kind, { seconds: number; count: number }>();

  async function run(task: Task): Promise<Outcome> {
    const started = performance.now();
    const seconds = (): number => (performance.now() - started) / 1000;
    const leaving = new AbortController();
    const { seconds: total, count } = times.get(task.kind) ?? { seconds: 1, count: 1 };
    const patience = (1000 * task.leavesAfter * total) / count;
    const timer = task.leaves ? setTimeout(() => leaving.abort(), patience) : undefined;
    const counts = { broken: 0, silent: 0, again: 0 };
    for (;;) {
      try {
        const got = await answer(url, task, leaving.signal);
        clearTimeout(timer);
        times.set(task.kind, { seconds: total + seconds(), count: count + 1 });
        return {
          task,
          end: got === at(expected, task.number) ? 'right' : 'wrong',
          seconds: seconds(),
          ...counts,
        };
      } catch (error) {
        if (leaving.signal.aborted) return { task, end: 'left', seconds: seconds(), ...counts };
        const how = error instanceof Interrupted ? error.how : undefined;
        if (how === 'event') counts.broken++;
        if (how === 'silence') counts.silent++;
        if (how === undefined || counts.again === ATTEMPTS - 1) {
          return { task, end: 'lost', problem: messageOf(error), seconds: seconds(), ...counts };
        }
        counts.again++;
        await sleep(POLL);
      }
    }
  }

  return { run };
}

/** Returns the digest of what a request gets. */
function answer(url: string, task: Task, signal: AbortSignal): Promise<string> {
  if (task.kind === 'video') return makeVideo(url, task, signal);
  if (task.kind === 'streamed image') return streamImage(url, task, signal);
  if (task.kind.startsWith('stream of')) return streamBlocks(url, task, signal);
  return makeImage(url, task, signal);
}

const bytesOf = (base64: string): Buffer => Buffer.from(base64, 'base64');

/** Sends a request. @throws {Interrupted} if no server answers; {Error} if one refuses it */
async function send(url: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(url, init).catch((cause) => {
    throw new Interrupted('connection', messageOf(cause));
  });
  if (response.ok) return response;
  const text = `${response.status} ${await response.text()}`;
  throw text.includes(SERVER_GONE) ? new Interrupted('connection', text) : new Error(`${url}: ${text}`);
}

function post(url: string, body: object, signal?: AbortSignal): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return send(url, { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) });
}

/** Reads a body. @throws {Interrupted} if it breaks off */
async function read<T>(body: Promise<T>): Promise<T> {
  return body.catch((cause) => {
    throw new Interrupted('connection', messageOf(cause));
  });
}

async function makeImage(url: string, { kind, body }: Task, signal: AbortSignal): Promise<string> {
  const response_format = kind === 'image by URL' ? 'url' : 'b64_json';
  const response = await post(`${url}/v1/images/generations`, { ...body, response_format }, signal);
  const { data } = (await read(response.json())) as ImagesAnswer;
  const { b64_json, url: place } = at(data, 0);
  if (place === undefined) return digest([bytesOf(b64_json ?? '')]);
  // The address in the response is the balancer's, which is the host that the client asked.
  const file = await send(place, { signal });
  return digest([new Uint8Array(await read(file.arrayBuffer()))]);
}

async function streamImage(url: string, { body }: Task, signal: AbortSignal): Promise<string> {
  const fields = { ...body, stream: true, partial_images: 2 };
  const response = await post(`${url}/v1/images/generations`, fields, signal);
  for await (const event of eventsOf<ImageEvent>(response)) {
    if (event.type === 'image_generation.completed') return digest([bytesOf(event.b64_json)]);
  }
  throw new Interrupted('silence', 'the stream ended without an image');
}

async function streamBlocks(url: string, task: Task, signal: AbortSignal): Promise<string> {
  const model = isOfVideo(task) ? 'moving-fashion-mnist' : 'fashion-mnist';
  const fields = { ...task.body, model, latents: true, preview_every: 3 };
  const response = await post(`${url}/v1/acdit/stream`, fields, signal);
  const frames: Buffer[] = [];
  for await (const event of eventsOf<StreamEvent>(response)) {
    if (event.type !== 'block' && event.type !== 'done') continue;
    const { images = [], first_frame = 0, latents } = event;
    for (const [i, frame] of (images[0] ?? []).entries()) frames[first_frame + i] = bytesOf(frame);
    if (event.type === 'done') return digest([bytesOf(latents?.data ?? ''), ...frames]);
  }
  throw new Interrupted('silence', 'the stream ended before it was done');
}

/** Asks for a video, looks at it until it is finished, fetches it, and deletes it in any case. */
async function makeVideo(url: string, { body }: Task, signal: AbortSignal): Promise<string> {
  const { id } = (await read((await post(`${url}/v1/videos`, body)).json())) as Video;
  const place = `${url}/v1/videos/${id}`;
  try {
    for (;;) {
      await sleep(POLL, undefined, { signal });
      const { status, error } = (await read((await send(place)).json())) as Video;
      if (status === 'failed') throw new Error(`${id} failed: ${error?.code} ${error?.message}`);
      if (status !== 'completed') continue;
      return digest([new Uint8Array(await read((await send(`${place}/content`)).arrayBuffer()))]);
    }
  } finally {
    await deleteVideo(place);
  }
}

/** Deletes a video. If the response is lost, another server is asked, which no longer has it. */
async function deleteVideo(place: string): Promise<void> {
  const { status } = await fetch(place, { method: 'DELETE' });
  if (status !== 200 && status !== 404) throw new Error(`DELETE ${place}: ${status}`);
}

/** Deletes the videos that are left, of requests whose response was lost. @returns how many there were */
export async function deleteVideos(url: string): Promise<number> {
  const { data } = (await (await send(`${url}/v1/videos?limit=100`)).json()) as VideoList;
  for (const { id } of data) await deleteVideo(`${url}/v1/videos/${id}`);
  return data.length;
}

/** Reads server-sent events. @throws {Interrupted} at an error event of the balancer, or if the connection breaks */
async function* eventsOf<E extends { readonly type: string }>(response: Response): AsyncGenerator<E> {
  let text = '';
  const parts = (response.body ?? new ReadableStream<Uint8Array>()).pipeThrough(new TextDecoderStream());
  const reader = parts.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause) => {
      throw new Interrupted('silence', `the stream broke off: ${messageOf(cause)}`);
    });
    if (done) return;
    text += value;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data === undefined) continue; // a heartbeat
      const event = JSON.parse(data) as E | (StreamEvent & { readonly type: 'error' });
      if ('error' in event && event.type === 'error') {
        const { code, message } = event.error;
        throw code === SERVER_GONE ? new Interrupted('event', message) : new Error(`${code}: ${message}`);
      }
      yield event as E;
    }
  }
}
