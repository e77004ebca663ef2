/** @file The decoding process: takes latents from the process that started it, and ends with it. See decoder.ts. */

import { AcditError } from '../errors.ts';
import { leaveStopSignalsToParent } from '../stop-signals.ts';
import { type Decoder, localDecoder, type Reply, type Request } from './decoder.ts';

let decoder: Decoder | undefined;

function reply(message: Reply): void {
  process.send?.(message);
}

async function handle(request: Request): Promise<void> {
  if (request.kind === 'open') {
    decoder = localDecoder(request.settings);
    return;
  }
  try {
    if (!decoder) throw new Error('the decoding process got latents before its settings');
    const pictures = await decoder.decode(request.latents, (share) => reply({ kind: 'progress', share }));
    reply({ kind: 'pictures', pictures });
  } catch (error) {
    const expected = error instanceof AcditError;
    const { message, stack } = error as Error;
    reply({ kind: 'failure', message: expected ? message : (stack ?? message), expected });
  }
}

process.on('message', (request: Request) => void handle(request));
process.on('disconnect', () => process.exit());
leaveStopSignalsToParent();
