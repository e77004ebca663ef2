/** @file The metrics of a running server, for Prometheus. */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PassInfo } from '../sampling/batching.ts';
import type { ServedModel } from './served-model.ts';

/** What a server counts and measures. */
export interface Metrics {
  /** Counts an answer that was sent, or a stream that ended. */
  answered(route: string, status: number, seconds: number): void;
  /** Counts a pass of a model. */
  passed(model: string, pass: PassInfo): void;
  /** Counts finished samples. */
  finished(model: string, samples: number): void;
  /** Returns everything in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

const SECONDS = [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
const SEQUENCES = [1, 2, 4, 6, 8, 12, 16, 24, 32, 64];

/**
 * Makes a server's metrics.
 * @param models called when the metrics are read
 */
export function createMetrics(models: () => readonly ServedModel[]): Metrics {
  const registry = new Registry();
  const { requests, latency, samples, steps, batches, passes } = countersOf(registry);
  addGauges(registry, models);
  return {
    answered(route, status, seconds) {
      requests.inc({ route, status });
      latency.observe({ route }, seconds);
    },
    passed(model, pass) {
      steps.inc({ model }, pass.sequences);
      batches.observe({ model }, pass.sequences);
      passes.observe({ model }, pass.seconds);
    },
    finished: (model, count) => samples.inc({ model }, count),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** What is counted as it happens. */
function countersOf(registry: Registry) {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'acdit_requests_total',
      help: 'Requests answered',
      labelNames: ['route', 'status'],
      registers,
    }),
    latency: new Histogram({
      name: 'acdit_request_seconds',
      help: 'Time from a request to the end of its answer',
      labelNames: ['route'],
      buckets: SECONDS,
      registers,
    }),
    samples: new Counter({
      name: 'acdit_samples_total',
      help: 'Samples finished',
      labelNames: ['model'],
      registers,
    }),
    steps: new Counter({
      name: 'acdit_steps_total',
      help: 'Passes of sequences through the model: solver steps, and blocks that joined the cache',
      labelNames: ['model'],
      registers,
    }),
    batches: new Histogram({
      name: 'acdit_batch_sequences',
      help: 'Requests that went through the model together',
      labelNames: ['model'],
      buckets: SEQUENCES,
      registers,
    }),
    passes: new Histogram({
      name: 'acdit_pass_seconds',
      help: 'Time of one pass through the model',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    }),
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
  perModel('acdit_samples_in_progress', 'Samples being made', ({ gate }) => gate.busy);
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process that answers',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
}
