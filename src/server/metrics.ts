/** @file The metrics of a running server, for Prometheus. */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PassInfo } from '../sampling/noise-predictor.ts';
import type { ServedModel } from './models.ts';
import type { Store } from './store.ts';

/** What a server counts and measures. */
export type Metrics = ReturnType<typeof createMetrics>;

const SECONDS = [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
const SEQUENCES = [1, 2, 4, 6, 8, 12, 16, 24, 32, 64];

const ROWS = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128];

/**
 * Makes a server's metrics.
 * @param models called when the metrics are read
 * @param store whose videos are counted, by state
 */
export function createMetrics(models: () => readonly ServedModel[], store?: Store) {
  const registry = new Registry();
  addGauges(registry, models);
  addProcesses(registry, models);
  if (store) addStore(registry, store);
  return {
    ...requestMetrics(registry),
    ...passMetrics(registry),
    /** Returns everything in Prometheus' text format. */
    text: (): Promise<string> => registry.metrics(),
    contentType: registry.contentType,
  };
}

function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: (name: string, help: string, ...labelNames: string[]) =>
      new Counter({ name, help, labelNames, registers }),
    histogram: (name: string, help: string, label: string, buckets: number[]) =>
      new Histogram({ name, help, labelNames: [label], buckets, registers }),
  };
}

function requestMetrics(registry: Registry) {
  const { counter, histogram } = makers(registry);
  const times = (name: string, help: string, label = 'model') => histogram(name, help, label, SECONDS);
  const requests = counter('acdit_requests_total', 'Requests answered', 'route', 'status');
  const latency = times('acdit_request_seconds', 'Time from a request to the end of its answer', 'route');
  const samples = counter('acdit_samples_total', 'Samples finished', 'model');
  const queued = times('acdit_queue_seconds', 'Time that a request waited for its turn');
  const firstBlocks = times(
    'acdit_first_block_seconds',
    'Time from a request to its first finished block, waiting included',
  );
  const takeovers = counter('acdit_video_takeovers_total', 'Videos taken over from another server');
  return {
    /** Counts an answer that was sent, or a stream that ended. */
    answered(route: string, status: number, seconds: number): void {
      requests.inc({ route, status });
      latency.observe({ route }, seconds);
    },
    /** Counts a request whose turn has come. */
    waited: (model: string, seconds: number): void => queued.observe({ model }, seconds),
    /** Counts a request whose first block is finished. */
    firstBlock: (model: string, seconds: number): void => firstBlocks.observe({ model }, seconds),
    /** Counts a video that another server began. */
    tookOver: (): void => takeovers.inc(),
    /** Counts finished samples. */
    finished: (model: string, count: number): void => samples.inc({ model }, count),
  };
}

function passMetrics(registry: Registry) {
  const { counter, histogram } = makers(registry);
  const steps = counter(
    'acdit_steps_total',
    'Passes of sequences through the model: solver steps, and blocks that joined the cache',
    'model',
  );
  const predictions = counter(
    'acdit_passes_total',
    'Passes of samples through the network to denoise a block: two per guided step, one per other',
    'model',
  );
  const batches = histogram(
    'acdit_batch_sequences',
    'Requests that went through the model together',
    'model',
    SEQUENCES,
  );
  const passes = histogram('acdit_pass_seconds', 'Time of one pass through the model', 'model', SECONDS);
  const rows = histogram(
    'acdit_pass_rows',
    'Rows of one pass: blocks in it, counting each sample and guidance branch',
    'model',
    ROWS,
  );
  return {
    /** Counts a pass of a model. */
    passed(model: string, pass: PassInfo): void {
      steps.inc({ model }, pass.sequences);
      predictions.inc({ model }, pass.denoised);
      batches.observe({ model }, pass.sequences);
      passes.observe({ model }, pass.seconds);
      rows.observe({ model }, pass.groups);
    },
  };
}

/** What is measured when the metrics are read. */
function addGauges(registry: Registry, models: () => readonly ServedModel[]): void {
  const registers = [registry];
  const perModel = (name: string, help: string, value: (model: ServedModel) => number): void => {
    new Gauge({
      name,
      help,
      labelNames: ['model'],
      registers,
      collect() {
        for (const model of models()) this.set({ model: model.id }, value(model));
      },
    });
  };
  perModel('acdit_queue_depth', 'Requests that wait', ({ gate }) => gate.depth);
  perModel('acdit_queue_capacity', 'Max requests that wait', ({ gate }) => gate.options.waiting);
  perModel('acdit_samples_in_progress', 'Samples being made', ({ gate }) => gate.busy);
  perModel('acdit_samples_capacity', 'Max samples being made', ({ gate }) => gate.options.seats);
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process that answers',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
}

/** Sampling processes, which may end and start again. */
function addProcesses(registry: Registry, models: () => readonly ServedModel[]): void {
  const common = { labelNames: ['model'], registers: [registry] };
  new Gauge({
    ...common,
    name: 'acdit_sampler_up',
    help: 'Whether the sampling process is running',
    collect() {
      for (const { id, sampler } of models()) this.set({ model: id }, sampler.alive === false ? 0 : 1);
    },
  });
  new Counter({
    ...common,
    name: 'acdit_sampler_restarts_total',
    help: 'Times that the sampling process was started again',
    collect() {
      this.reset();
      for (const { id, sampler } of models()) this.inc({ model: id }, sampler.restarts ?? 0);
    },
  });
}

const STATES = ['queued', 'in_progress', 'completed', 'failed'] as const;

/** The store, and the videos in it: if servers share it, each reports the same ones. */
function addStore(registry: Registry, store: Store): void {
  const registers = [registry];
  new Gauge({
    name: 'acdit_videos',
    help: 'Videos in the store, by state; servers that share a store report the same ones',
    labelNames: ['status'],
    registers,
    async collect() {
      this.reset();
      const videos = store.up ? await store.videos.all().catch(() => undefined) : undefined;
      if (!videos) return;
      for (const status of STATES) {
        this.set({ status }, videos.filter((video) => video.status === status).length);
      }
    },
  });
  new Gauge({
    name: 'acdit_store_up',
    help: 'Whether the store can be reached',
    registers,
    collect() {
      this.set(store.up ? 1 : 0);
    },
  });
}
