/**
 * @file A sampler in a process of its own, so that its caller stays free while it samples: ONNX Runtime's `run` blocks its
 * thread. It is a process rather than a worker thread, because a thread that ends after it used ONNX Runtime can take
 * the whole process with it.
 */

import type { Readable } from 'node:stream';
import type { OpenOptions } from '../checkpoints/official.ts';
import { AcditError } from '../errors.ts';
import { programBeside, startChild } from '../remote/node.ts';
import { onDemand } from '../remote/on-demand.ts';
import type { Call } from '../remote/protocol.ts';
import { connect } from '../remote/remote.ts';
import type { ACCELERATORS } from '../runtime/node.ts';
import type { PassInfo } from './noise-predictor.ts';
import type { Precision } from './precision.ts';
import type { SampleEvent, SampleRequest, Sampler } from './sampler.ts';

/** What a model is sampled on. */
export type ServedDevice = 'cpu' | (typeof ACCELERATORS)[number];

/** What a sampling process is made from. */
export interface SamplingSettings {
  /** A model folder or file. */
  readonly model: string;
  /** Which weights to use, and the layout if the model does not state it. */
  readonly open?: OpenOptions;
  /** What to compute on; the CPU by default. */
  readonly device?: ServedDevice | undefined;
  /** How products with weights are computed (default: fp32). */
  readonly precision?: Precision | undefined;
  /** CPU threads; all cores by default. */
  readonly threads?: number;
  /**
   * Max groups per pass. A group is one block of one sample in one guidance branch. Default: as many as add little
   * memory.
   */
  readonly groups?: number;
  /** The `version` that the model must have, as its process reported it before (default: any). */
  readonly version?: string | undefined;
}

/** Samples on request, in this process or another. */
export interface RequestSampler extends Pick<Sampler, 'sample' | 'dispose'> {
  /** Whether its process is running, if it has one. */
  readonly alive?: boolean;
  /** How often its process was started again. */
  readonly restarts?: number;
  /** Starts its process again if it has ended, without a request. */
  wake?(): Promise<void>;
}

/** A sampler in a process of its own. */
export interface ProcessSampler extends Sampler, Pick<OpenedModel, 'version'> {
  /** Whether the process is running. */
  readonly alive: boolean;
  readonly pid: number | undefined;
}

/** A model that a sampling process loaded. */
export interface OpenedModel
  extends Pick<Sampler, 'config' | 'tuned' | 'device' | 'precision' | 'int8Share'> {
  /** Placements that compute wrongly, and what is used instead. */
  readonly warnings: readonly string[];
  /** Differs once the model's configuration or a file of its weights was written to. */
  readonly version: string;
}

/** The calls that a sampling process answers. */
export interface SamplingCalls {
  /** Loads the model. */
  open: Call<SamplingSettings, OpenedModel>;
  /** Reports each pass after it was made, as long as the process runs. */
  passes: Call<undefined, void, PassInfo>;
  sample: Call<Omit<SampleRequest, 'signal'>, void, SampleEvent>;
}

/**
 * Start a process and load the model there. Use it instead of a worker thread: ONNX Runtime aborts the whole process if a
 * thread ends during a step, while a process can be stopped at any moment. Requests that run at the same time share
 * passes.
 * @param onPass gets each pass after it was made
 * @param onWarning gets what is wrong with the device or precision, if another is used instead
 * @throws {AcditError} if the model cannot be loaded
 *
 * @example
 * ```ts
 * const sampler = await openProcessSampler({ model: 'models/fashion-mnist', threads: 2 });
 * for await (const event of sampler.sample({ labels: [7] })) console.log(event.kind);
 * await sampler.dispose();
 * ```
 */
export async function openProcessSampler(
  settings: SamplingSettings,
  onPass?: (pass: PassInfo) => void,
  onWarning: (message: string) => void = console.warn,
): Promise<ProcessSampler> {
  const child = startChild(
    programBeside(import.meta.url, 'sampling-process'),
    'the sampling process',
    'pipe',
  );
  const print = bufferedOutput(child.stderr);
  const remote = connect<SamplingCalls>(child);
  if (onPass) remote.call('passes', undefined, { onEvent: onPass }).catch(() => {}); // the process has ended
  try {
    const { warnings, ...opened } = await remote.call('open', settings);
    print();
    warnings.forEach((message) => void onWarning(message));
    return {
      ...opened,
      pid: child.pid,
      get alive() {
        return remote.alive;
      },
      sample: ({ signal, ...request }) => remote.stream('sample', request, { signal }),
      dispose: () => remote.dispose(),
    };
  } catch (error) {
    const isAnswer = error instanceof AcditError && remote.alive;
    if (!isAnswer) print();
    await remote.dispose();
    throw error;
  }
}

/**
 * Starts a sampling process, and starts it again if it ends, as when the system runs out of memory: requests that it was
 * working on fail, the next one starts it. If the model has changed meanwhile, it does not start.
 * @throws {AcditError} if the model cannot be loaded
 */
export async function openRestartingSampler(
  settings: SamplingSettings,
  onPass?: (pass: PassInfo) => void,
  onWarning?: (message: string) => void,
): Promise<Omit<ProcessSampler, 'alive' | 'version'> & Required<RequestSampler>> {
  let starts = 0;
  let version: string | undefined;
  const process = onDemand(async () => {
    const opened = await openProcessSampler({ ...settings, version }, onPass, onWarning);
    starts++;
    version = opened.version;
    return opened;
  });
  let current = await process.get();
  return {
    get alive() {
      return current.alive;
    },
    get restarts() {
      return starts - 1;
    },
    async wake() {
      current = await process.get();
    },
    config: current.config,
    get device() {
      return current.device;
    },
    get precision() {
      return current.precision;
    },
    get int8Share() {
      return current.int8Share;
    },
    ...(current.tuned && { tuned: current.tuned }),
    get pid() {
      return current.pid;
    },
    async *sample(request) {
      current = await process.get();
      yield* current.sample(request);
    },
    dispose: () => process.dispose(),
  };
}

/**
 * Holds back what a process prints until the returned function is called. A GPU's libraries print pages if they find
 * no GPU, which the process itself reports in one line.
 */
function bufferedOutput(from: Readable | null): () => void {
  const held: Buffer[] = [];
  let print = (text: Buffer): void => void held.push(text);
  from?.on('data', (text: Buffer) => print(text));
  return () => {
    print = (text) => void process.stderr.write(text);
    held.splice(0).forEach(print);
  };
}
