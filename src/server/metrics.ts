/** @file The metrics of a running server, for Prometheus. */

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PassInfo } from '../sampling/noise-predictor.ts';
import type { ServedModel } from './models.ts';

/** What a server counts and measures. */
export type Metrics = ReturnType<typeof createMetrics>;

const SECONDS = [0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
const SEQUENCES = [1, 2, 4, 6, 8, 12, 16, 24, 32, 64];

/**
 * Makes a server's metrics.
 * @param models called when the metrics are read
 */
export function createMetrics(models: () => readonly ServedModel[]) {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = (name: string, help: string, label: string, buckets: number[]) =>
    new Histogram({ name, help, labelNames: [label], buckets, registers });
  const requests = counter('acdit_requests_total', 'Requests answered', 'route', 'status');
  const latency = histogram(
    'acdit_request_seconds',
    'Time from a request to the end of its answer',
    'route',
    SECONDS,
  );
  const samples = counter('acdit_samples_total', 'Samples finished', 'model');
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
  addGauges(registry, models);
  return {
    /** Counts an answer that was sent, or a stream that ended. */
    answered(route: string, status: number, seconds: number): void {
      requests.inc({ route, status });
      latency.observe({ route }, seconds);
    },
    /** Counts a pass of a model. */
    passed(model: string, pass: PassInfo): void {
      steps.inc({ model }, pass.sequences);
      predictions.inc({ model }, pass.denoised);
      batches.observe({ model }, pass.sequences);
      passes.observe({ model }, pass.seconds);
    },
    /** Counts finished samples. */
    finished: (model: string, count: number): void => samples.inc({ model }, count),
    /** Returns everything in Prometheus' text format. */
    text: (): Promise<string> => registry.metrics(),
    contentType: registry.contentType,
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
