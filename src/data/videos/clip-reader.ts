/**
 * @file Reading clips in a process next to the training. ONNX Runtime's `run` blocks its thread, so only another one
 * can take what the decoders write, and bring it to size.
 */

import { programBeside, startChild } from '../../remote/node.ts';
import { onDemand } from '../../remote/on-demand.ts';
import type { Call } from '../../remote/protocol.ts';
import { connect } from '../../remote/remote.ts';
import { machine } from '../../runtime/machine.ts';
import { createSemaphore } from '../../semaphore.ts';
import { type Clip, type ClipRequest, readClip } from './clip.ts';

/** Reads clips of videos, several at a time. */
export interface ClipReader {
  /** Decodes a clip. @throws what `readClip` throws. */
  read(request: ClipRequest, signal?: AbortSignal): Promise<Clip>;
  /** End what it decodes with. */
  close(): Promise<void>;
}

/** Videos decoded at the same time. */
const DECODERS = Math.max(2, Math.floor(machine().cores / 2));

/** Reads in this process, at most {@link DECODERS} videos at a time. */
export function localClipReader(): ClipReader {
  const within = createSemaphore(DECODERS);
  return {
    read: (request, signal) =>
      within(async () => {
        signal?.throwIfAborted();
        return readClip(request, signal);
      }),
    close: async () => {},
  };
}

/** The calls that a process that reads clips answers. */
export interface ClipCalls {
  read: Call<ClipRequest, Clip>;
}

/** Reads in a process of its own, which is started when it is first needed and ends with this one. */
export function processClipReader(): ClipReader {
  const process = onDemand(() =>
    connect<ClipCalls>(
      startChild(programBeside(import.meta.url, 'clip-process'), 'the process that reads videos'),
    ),
  );
  return {
    read: async (request, signal) => (await process.get()).call('read', request, { signal }),
    close: () => process.dispose(),
  };
}
