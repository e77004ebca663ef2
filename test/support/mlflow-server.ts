/** @file A stand-in for an MLflow tracking server: the part of its REST API that the example uses, checked as it checks. */

import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Metric {
  readonly key: string;
  readonly value: number | string;
  readonly timestamp: number;
  readonly step: number;
}

/** Starts a server that has no experiment yet; its run is `run-1` of the experiment 7. */
export async function startMlflow() {
  const logged: Metric[] = [];
  const parameters = new Map<string, string>();
  const artifacts = new Map<string, Buffer>();
  const statuses: string[] = [];
  const state = { isDown: false, experiment: undefined as string | undefined, runs: 0 };

  const routes: Record<string, (body: Record<string, never>) => object | undefined> = {
    'POST experiments/create': ({ name }) => {
      state.experiment = name;
      return { experiment_id: '7' };
    },
    'POST runs/create': ({ experiment_id: experiment }) => {
      if (experiment !== '7') return undefined;
      const id = `run-${++state.runs}`;
      return { run: { info: { run_id: id, artifact_uri: `mlflow-artifacts:/7/${id}/artifacts` } } };
    },
    'POST runs/log-batch': ({ run_id: run, metrics = [] as Metric[], params = [] }) => {
      const isValid = ({ value, timestamp, step }: Metric): boolean =>
        (typeof value === 'number' || /^(NaN|-?Infinity)$/.test(value)) &&
        Number.isInteger(timestamp) &&
        Number.isInteger(step);
      const isWithinLimits = metrics.length <= 1000 && (params as unknown[]).length <= 100;
      if (run !== 'run-1' || !isWithinLimits || !metrics.every(isValid)) return undefined;
      logged.push(...metrics);
      for (const { key, value } of params as { key: string; value: string }[]) parameters.set(key, value);
      return {};
    },
    'POST runs/update': ({ run_id: run, status }) => {
      if (run !== 'run-1') return undefined;
      statuses.push(status);
      return {};
    },
  };

  const server = createServer(async (request, response) => {
    const body = await bytesOf(request);
    const path = new URL(request.url ?? '', 'http://localhost').pathname;
    const answer = (status: number, value: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    };
    if (state.isDown) return answer(503, { error_code: 'TEMPORARILY_UNAVAILABLE' });
    const artifact = /^\/api\/2\.0\/mlflow-artifacts\/artifacts\/(.+)$/.exec(path)?.[1];
    if (artifact !== undefined && request.method === 'PUT') {
      artifacts.set(artifact, body);
      return answer(200, {});
    }
    const name = `${request.method} ${path.replace('/api/2.0/mlflow/', '')}`;
    if (name === 'GET experiments/get-by-name') {
      return state.experiment === undefined
        ? answer(404, { error_code: 'RESOURCE_DOES_NOT_EXIST' })
        : answer(200, { experiment: { experiment_id: '7' } });
    }
    const found = routes[name]?.(JSON.parse(body.toString()));
    return found ? answer(200, found) : answer(400, { error_code: 'INVALID_PARAMETER_VALUE' });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    state,
    parameters,
    artifacts,
    /** Values of a metric by step. */
    metrics: (key: string) =>
      new Map(logged.filter((metric) => metric.key === key).map(({ step, value }) => [step, value])),
    logged,
    status: () => statuses.at(-1),
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
