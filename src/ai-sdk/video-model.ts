/** @file A model of videos, for `experimental_generateVideo`: the server makes a video in the background, and is asked for it. */

import type {
  Experimental_VideoModelV3,
  Experimental_VideoModelV3CallOptions,
  SharedV3Warning,
} from '@ai-sdk/provider';
import { ApiError } from '../errors.ts';
import type { Video } from '../server/api.ts';
import { type AcditProviderOptions, defined, type RequestOptions, send } from './http.ts';
import { noted, otherSize, unsupported } from './warnings.ts';

const PATH = '/v1/videos';
/** Milliseconds between looks at whether a video is finished. */
const POLL_INTERVAL = 500;

type Result = Awaited<ReturnType<Experimental_VideoModelV3['doGenerate']>>;
type Answered = Result['response'];

/** A model of videos whose work can also be started here and fetched elsewhere, which version 7 of the AI SDK supports. */
export interface AcditVideoModel extends Experimental_VideoModelV3 {
  /** Starts a video; the server makes it whether it is fetched or not. */
  doStart(
    call: Experimental_VideoModelV3CallOptions,
  ): Promise<{ operation: string; warnings: SharedV3Warning[]; response: Answered }>;
  /** Returns the state of a video, and the video itself if it is finished. */
  doStatus(
    call: RequestOptions & { readonly operation: unknown },
  ): Promise<
    | ({ status: 'completed' } & Result)
    | { status: 'error'; error: string; response: Answered }
    | { status: 'pending'; response: Answered }
  >;
}

/**
 * `doGenerate` waits for the video, and when it is aborted the server's work stops. `doStart` and `doStatus` are for
 * callers that ask the AI SDK to poll, or start a video here and fetch it elsewhere: such a video is made whether it is
 * fetched or not.
 */
export function createVideoModel(options: AcditProviderOptions, modelId: string): AcditVideoModel {
  async function start(call: RequestOptions & { readonly body: object }): Promise<Video> {
    const response = await send(options, 'POST', PATH, call);
    return (await response.json()) as Video;
  }

  /** The job as it is, and its video if that is finished. */
  async function look(id: string, call: RequestOptions) {
    const path = `${PATH}/${encodeURIComponent(id)}`;
    const response = await send(options, 'GET', path, call);
    const job = (await response.json()) as Video;
    const content =
      job.status === 'completed' ? await send(options, 'GET', `${path}/content`, call) : undefined;
    return { job, clip: content && (await clipOf(job, content)) };
  }

  async function stop(job: Promise<Video>): Promise<void> {
    await send(options, 'DELETE', `${PATH}/${encodeURIComponent((await job).id)}`, {});
  }

  return {
    specificationVersion: 'v3',
    provider: 'acdit',
    modelId,
    maxVideosPerCall: 1,
    async doGenerate(call) {
      const { headers, abortSignal } = call;
      // Not aborted: a video whose name never came could not be stopped.
      const started = start({ headers, body: requestBody(modelId, call) });
      try {
        const { id } = await unlessAborted(started, abortSignal);
        for (;;) {
          const { job, clip } = await look(id, call);
          if (job.error) throw new ApiError(500, job.error.code, job.error.message);
          if (clip) return { ...clip, warnings: warningsOf(call, job) };
          const delay = new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
          await unlessAborted(delay, abortSignal);
        }
      } catch (error) {
        // The server may be the one that failed; what is thrown is why.
        stop(started).catch(() => {});
        throw error;
      }
    },
    async doStart(call) {
      const job = await start({ ...call, body: requestBody(modelId, call) });
      return { operation: job.id, warnings: warningsOf(call, job), response: responseOf(job) };
    },
    async doStatus({ operation, ...call }) {
      const { job, clip } = await look(String(operation), call);
      if (job.error) return { status: 'error', error: job.error.message, response: responseOf(job) };
      if (clip) return { status: 'completed', warnings: [], ...clip };
      return { status: 'pending', response: responseOf(job) };
    },
  };
}

function requestBody(
  model: string,
  { prompt = '', resolution, duration, fps, seed, providerOptions }: Experimental_VideoModelV3CallOptions,
): object {
  return {
    ...providerOptions.acdit,
    model,
    prompt,
    ...defined<unknown>({ size: resolution, seconds: duration, fps, seed }),
  };
}

async function clipOf(job: Video, content: Response): Promise<Omit<Result, 'warnings'>> {
  const { id, seed, seconds, blocks, untrained } = job;
  return {
    videos: [{ type: 'binary', data: new Uint8Array(await content.arrayBuffer()), mediaType: 'video/mp4' }],
    response: responseOf(job),
    // What makes the same video again, and what became of the length.
    providerMetadata: { acdit: { videos: [{ id, seed, seconds: Number(seconds), blocks, untrained }] } },
  };
}

function responseOf(job: Video): Answered {
  return { timestamp: new Date(), modelId: job.model, headers: undefined };
}

function warningsOf(call: Experimental_VideoModelV3CallOptions, { size, notes }: Video): SharedV3Warning[] {
  const { aspectRatio, image, frameImages, inputReferences, generateAudio } = call;
  return [
    ...unsupported('videos', { aspectRatio, image, frameImages, inputReferences, generateAudio }),
    ...otherSize('resolution', call.resolution, size),
    ...noted(notes),
  ];
}

/** What a promise gives, unless the signal aborts before. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
