/** @file Flags that choose what to compute on, shared by the commands that compute. */

import { ArgumentError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, wholeNumber } from './values.ts';

export const deviceFlags = {
  device: {
    type: 'string',
    value: 'NAME',
    help: 'auto or cpu; webgpu, cuda, coreml and dml are not available yet',
  },
  threads: { type: 'string', value: 'N', help: 'CPU threads (all cores)' },
} as const satisfies Flags;

const DEVICES = ['auto', 'cpu', 'webgpu', 'cuda', 'coreml', 'dml'] as const;

/** @throws {ArgumentError} for a device that is unknown or not available. */
export function openDevice({ device = 'auto', threads }: FlagValues<typeof deviceFlags>): Device {
  const name = choice('device', device, DEVICES);
  if (name !== 'auto' && name !== 'cpu') {
    throw new ArgumentError(`--device ${name} is not available yet; use cpu`);
  }
  return openCpu(threads === undefined ? {} : { threads: wholeNumber('threads', threads) });
}
