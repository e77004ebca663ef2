/** @file The program of the process that reads clips: it ends with the one that started it. See clip-reader.ts. */

import { leaveStopSignalsToParent } from '../../stop-signals.ts';
import { type ClipReply, localClipReader, type NumberedRequest } from './clip-reader.ts';

const stopping = new AbortController();
const reader = localClipReader(stopping.signal);

process.on('message', async ({ id, request }: NumberedRequest) => {
  try {
    reply({ id, clip: await reader.read(request) });
  } catch (error) {
    const { name, message } = error as Error;
    reply({ id, error: { name, message } });
  }
});

function reply(message: ClipReply): void {
  if (process.connected) process.send?.(message);
}

process.on('disconnect', () => {
  stopping.abort(); // and with it the decoders
  setTimeout(() => process.exit(), 200).unref();
});
leaveStopSignalsToParent();
