// A tracker that sends a training's numbers and images to an MLflow tracking server, by its REST API
// (https://mlflow.org/docs/latest/rest-api.html).
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Most metrics and parameters per request, by MLflow's limits. */
const METRICS = 1000;
const PARAMETERS = 100;
/** Characters of a parameter's value. */
const PARAMETER_LENGTH = 500;
/** Milliseconds after which a request has failed. */
const PATIENCE = 30_000;
/** Attempts to deliver what is left at the end. */
const LAST_ATTEMPTS = 3;

/**
 * Opens a run on the server, or the one that the training's folder names if the training resumes. The training never waits
 * for the server: what it logs is queued and sent in the background, and kept while the server is unavailable.
 * @param {{ url: string, experiment: string, folder: string, recipe?: object, token?: string, pause?: number }} options
 * `folder` is that of the training, which keeps the run's id in `mlflow.json`: remove it for another run on the server.
 * `pause` is in milliseconds, between attempts at the end.
 * @returns a tracker for `trainModel`, and `finish`, which sends what is left, and ends the run with a status of MLflow:
 * FINISHED, KILLED or FAILED.
 */
export async function mlflowTracker({ url, experiment, folder, recipe = {}, token, pause = 1000 }) {
  const api = createApi(url, token);
  const { id, artifacts } =
    (await resumedRun(api, folder)) ?? (await createRun(api, { experiment, folder, recipe }));
  const metrics = [];
  const images = [];

  /** Sends what is queued; what fails stays queued. */
  async function send() {
    while (metrics.length > 0 || images.length > 0) {
      if (metrics.length > 0) {
        const batch = metrics.slice(0, METRICS);
        await api('POST', 'mlflow/runs/log-batch', { run_id: id, metrics: batch });
        metrics.splice(0, batch.length);
      } else {
        const [{ path, png }] = images;
        await api('PUT', `mlflow-artifacts/artifacts/${artifacts}/${path}`, png);
        images.shift();
      }
    }
  }

  let sending;
  let isDown = false;
  function sendSoon() {
    sending ??= send()
      .then(
        () => {
          isDown = false;
        },
        (error) => {
          if (!isDown) console.error(`${error.message}; training continues, and its log is sent later`);
          isDown = true;
        },
      )
      .finally(() => {
        sending = undefined;
      });
  }

  return {
    tracker: {
      scalars(step, record) {
        const timestamp = Date.now();
        for (const [key, value] of Object.entries(record)) {
          metrics.push({ key, value: Number.isFinite(value) ? value : String(value), timestamp, step });
        }
        sendSoon();
      },
      image(step, name, png) {
        if (artifacts === undefined) return; // the server stores artifacts elsewhere
        images.push({ path: `${name}/step-${String(step).padStart(8, '0')}.png`, png });
        sendSoon();
      },
      close: sendSoon,
    },
    async finish(status = 'FINISHED') {
      await sending;
      for (let attempt = 1; ; attempt++) {
        try {
          await send();
          return await api('POST', 'mlflow/runs/update', { run_id: id, status, end_time: Date.now() });
        } catch (error) {
          if (attempt === LAST_ATTEMPTS) throw error;
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
    },
  };
}

/** Returns a function that sends JSON or bytes, and returns the answer. */
function createApi(url, token) {
  const base = url.replace(/\/+$/, '');
  return async (method, path, body) => {
    const isBytes = body instanceof Uint8Array;
    const headers = { ...(token && { authorization: `Bearer ${token}` }) };
    headers['content-type'] = isBytes ? 'image/png' : 'application/json';
    const response = await fetch(`${base}/api/2.0/${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: isBytes ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(PATIENCE),
    }).catch((cause) => {
      throw new Error(`MLflow at ${base} does not answer (${cause.cause?.code ?? cause.message})`, { cause });
    });
    const text = await response.text();
    if (response.ok) return isBytes ? undefined : JSON.parse(text || '{}');
    const error = new Error(
      `MLflow at ${base} refused ${path} with status ${response.status}: ${text.slice(0, 300)}`,
    );
    throw Object.assign(error, { status: response.status });
  };
}

/** The run that the folder of a resumed training names. */
async function resumedRun(api, folder) {
  const text = await readFile(join(folder, 'mlflow.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const run = JSON.parse(text);
  await api('POST', 'mlflow/runs/update', { run_id: run.id, status: 'RUNNING' });
  return run;
}

/** Makes a run with the recipe as its parameters, and notes it in the training's folder. */
async function createRun(api, { experiment, folder, recipe }) {
  const created = await api('POST', 'mlflow/runs/create', {
    experiment_id: await experimentId(api, experiment),
    run_name: folder.split(/[\\/]/).at(-1),
    start_time: Date.now(),
  });
  const { run_id: id, artifact_uri: uri = '' } = created.run.info;
  const parameters = Object.entries(recipe).flatMap(([section, keys]) =>
    Object.entries(keys ?? {})
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ({
        key: `${section}.${key}`,
        value: (typeof value === 'string' ? value : JSON.stringify(value)).slice(0, PARAMETER_LENGTH),
      })),
  );
  for (let i = 0; i < parameters.length; i += PARAMETERS) {
    const params = parameters.slice(i, i + PARAMETERS);
    await api('POST', 'mlflow/runs/log-batch', { run_id: id, params });
  }
  // Such a server takes artifacts itself: mlflow-artifacts:/EXPERIMENT/RUN/artifacts.
  const artifacts = /^mlflow-artifacts:\/+(.+)$/.exec(uri)?.[1];
  const run = { id, artifacts };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'mlflow.json'), JSON.stringify(run));
  return run;
}

/** The id of an experiment, which is made if there is none of this name. */
async function experimentId(api, name) {
  const query = `mlflow/experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`;
  try {
    return (await api('GET', query)).experiment.experiment_id;
  } catch (error) {
    if (error.status !== 404) throw error;
    return (await api('POST', 'mlflow/experiments/create', { name })).experiment_id;
  }
}
