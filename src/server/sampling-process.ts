/** @file The process that samples from one model: takes requests from the server, and ends with it. See process-sampler.ts. */

import { openModel, weightSource } from '../checkpoints/load.ts';
import { AcditError, ArgumentError } from '../errors.ts';
import { openAccelerator, openCpu } from '../runtime/node.ts';
import { createSampler, type SampleRequest, type Sampler } from '../sampling/sampler.ts';
import { leaveStopSignalsToParent } from '../stop-signals.ts';
import { createLead, type Lead } from './lead.ts';
import {
  type FromSampling,
  MOST_UNREAD,
  type SamplingSettings,
  type ToSampling,
} from './sampling-messages.ts';

let sampler: Sampler | undefined;
const running = new Map<number, { readonly controller: AbortController; readonly lead: Lead }>();

function send(message: FromSampling): void {
  process.send?.(message, () => {}); // without a server this process ends
}

function sendFailure(error: unknown, id?: number): void {
  const expected = error instanceof AcditError;
  const invalid = error instanceof ArgumentError;
  const { message, stack } = error as Error;
  const text = expected ? message : (stack ?? message);
  send({ kind: 'failure', ...(id !== undefined && { id }), message: text, expected, invalid });
}

async function open(settings: SamplingSettings): Promise<void> {
  const { device = 'cpu', threads, groups } = settings;
  const model = await openModel(settings.model, settings.open);
  const cpus = threads === undefined ? {} : { threads };
  sampler = await createSampler({
    config: model.config,
    weights: weightSource(model),
    device: device === 'cpu' ? openCpu(cpus) : await openAccelerator(device, cpus),
    batching: { groups, onPass: (pass) => send({ kind: 'pass', pass }) },
  });
  send({ kind: 'ready', config: model.config });
}

async function sample(id: number, request: SampleRequest): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const lead = createLead(MOST_UNREAD);
  running.set(id, { controller, lead });
  try {
    if (!sampler) throw new Error('the sampling process got a request before its settings');
    for await (const event of sampler.sample({ ...request, signal })) {
      send({ kind: 'event', id, event });
      await lead.sent();
    }
    send({ kind: 'end', id });
  } catch (error) {
    if (!signal.aborted) sendFailure(error, id); // else nobody waits for it
  } finally {
    running.delete(id);
  }
}

function stop(id: number): void {
  const request = running.get(id);
  request?.controller.abort(new Error('stopped'));
  request?.lead.read(Number.POSITIVE_INFINITY); // so that it waits no more
}

process.on('message', (message: ToSampling) => {
  if (message.kind === 'open') open(message.settings).catch((error) => sendFailure(error));
  else if (message.kind === 'sample') void sample(message.id, message.request);
  else if (message.kind === 'read') running.get(message.id)?.lead.read(message.count);
  else stop(message.id);
});
process.on('disconnect', () => process.exit());
leaveStopSignalsToParent();
