/**
 * @file Which build of ONNX Runtime computes on Node: the native one, or where it is not installed, the one for browsers,
 * in WebAssembly. The only file that loads them.
 */

import { createRequire } from 'node:module';
import type * as Ort from 'onnxruntime-web';
import { messageOf } from '../attempt.ts';
import { DeviceError } from '../errors.ts';

/** A build of ONNX Runtime. */
export interface Engine {
  readonly kind: 'native' | 'wasm';
  readonly version: string;
  readonly ort: typeof Ort & {
    /** Only in the native build. */
    listSupportedBackends?(): readonly { readonly name: string }[];
  };
  /** How to get the native build, if it is missing. */
  readonly advice?: string;
}

/** Set to `wasm`, it chooses the WebAssembly build, even if the native one is installed. */
const CHOICE = 'ACDIT_ENGINE';
/** Set to 1, ONNX Runtime keeps no device ID and no record of its use in the home folder, and reports nothing. */
const NO_TELEMETRY = 'ORT_DISABLE_TELEMETRY';
const INSTALL = 'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node@';

const require = createRequire(import.meta.url);

/** The build that this process uses. It is loaded once, at the start: ONNX Runtime keeps state of its own. */
export const engine: Engine = loadEngine();

function loadEngine(): Engine {
  let problem: unknown;
  if (process.env[CHOICE] !== 'wasm') {
    process.env[NO_TELEMETRY] ??= '1'; // read once, when the library is loaded
    try {
      const ort = require('onnxruntime-node') as Engine['ort'];
      return { kind: 'native', version: versionOf(ort), ort };
    } catch (cause) {
      problem = cause;
    }
  }
  try {
    const ort = require('onnxruntime-web') as Engine['ort'];
    const version = versionOf(ort);
    if (problem === undefined) return { kind: 'wasm', version, ort };
    const advice = `computing in WebAssembly, since ${reasonOf(problem)}; for full speed: ${INSTALL}${version}`;
    return { kind: 'wasm', version, ort, advice };
  } catch (cause) {
    const reasons = [problem, cause].filter((reason) => reason !== undefined).map(reasonOf);
    throw new DeviceError(`ONNX Runtime cannot be loaded: ${reasons.join('; ')}`, { cause });
  }
}

function versionOf({ env: { versions } }: Engine['ort']): string {
  return versions.node ?? versions.web ?? versions.common;
}

function reasonOf(cause: unknown): string {
  const { code } = cause as { code?: string };
  if (code === 'MODULE_NOT_FOUND' && /onnxruntime-node'/.test(messageOf(cause))) {
    return 'onnxruntime-node is not installed';
  }
  return `onnxruntime does not load here (${messageOf(cause).split('\n')[0]})`;
}
