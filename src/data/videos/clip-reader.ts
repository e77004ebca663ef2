/**
 * @file Reading clips in a process beside the training. ONNX Runtime's `run` blocks its thread, so only another one can
 * take what the decoders write, and bring it to size.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createBudget } from '../../budget.ts';
import { AcditError, FormatError, VideoDecoderError } from '../../errors.ts';
import { machine } from '../../runtime/machine.ts';
import { type Clip, type ClipRequest, readClip } from './clip.ts';

/** Reads clips of videos, several at a time. */
export interface ClipReader {
  /**
   * Decode a clip.
   * @throws what `readClip` throws.
   */
  read(request: ClipRequest): Promise<Clip>;
  /** End what it decodes with. */
  close(): Promise<void>;
}

/** Videos decoded at the same time. */
const DECODERS = Math.max(2, Math.floor(machine().cores / 2));

/** Reads in this process, at most `limit` videos at a time. */
export function localClipReader(signal?: AbortSignal, limit = DECODERS): ClipReader {
  const within = createBudget(limit);
  return {
    read: (request) => within(1, () => readClip(request, signal)),
    close: async () => {},
  };
}

/** What the process is sent. */
export interface NumberedRequest {
  readonly id: number;
  readonly request: ClipRequest;
}

/** What it answers. */
export type ClipReply = { readonly id: number } & (
  | { readonly clip: Clip }
  | { readonly error: { readonly name: string; readonly message: string } }
);

/** The program of the process, as source or compiled like this file. */
const PROGRAM = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './clip-process.ts' : './clip-process.js', import.meta.url),
);

interface Waiting {
  readonly resolve: (clip: Clip) => void;
  readonly reject: (error: Error) => void;
}

/** Reads in a process of its own, which is started when it is first needed and ends with this one. */
export function processClipReader(): ClipReader {
  const waiting = new Map<number, Waiting>();
  let child: ChildProcess | undefined;
  let count = 0;

  function start(): ChildProcess {
    const started = fork(PROGRAM, {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const fail = (message: string): void => {
      for (const { reject } of waiting.values()) reject(new AcditError(message));
      waiting.clear();
      child = undefined;
    };
    started.on('message', (reply: ClipReply) => {
      const { resolve, reject } = waiting.get(reply.id)!;
      waiting.delete(reply.id);
      if ('clip' in reply) resolve(reply.clip);
      else reject(errorFrom(reply.error));
    });
    started.on('error', ({ message }) => fail(`the process that reads videos cannot be started: ${message}`));
    started.on('exit', (code, killer) => {
      fail(`the process that reads videos ended before its work was done (${killer ?? `exit code ${code}`})`);
    });
    return started;
  }

  return {
    read(request) {
      child ??= start();
      const id = count++;
      const clip = new Promise<Clip>((resolve, reject) => void waiting.set(id, { resolve, reject }));
      const message: NumberedRequest = { id, request };
      child.send(message, () => {}); // 'exit' tells of failures
      return clip;
    },
    async close() {
      if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/** Errors lose their class on the way between processes. */
function errorFrom({ name, message }: { name: string; message: string }): Error {
  if (name === 'FormatError') return new FormatError(message);
  if (name === 'VideoDecoderError') return new VideoDecoderError(message);
  return new Error(message);
}
