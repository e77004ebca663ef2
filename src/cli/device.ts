/** @file Flags that choose what to compute on, shared by the commands that compute. */

import { ArgumentError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import {
  ACCELERATORS,
  type DeviceOptions,
  openAccelerator,
  openCpu,
  requireThreads,
} from '../runtime/node.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, wholeNumber } from './values.ts';

export const deviceFlags = {
  device: {
    type: 'string',
    value: 'NAME',
    help: 'cpu (auto), or a graphics card through webgpu, cuda, coreml or dml, where there is one',
  },
  threads: { type: 'string', value: 'N', help: 'CPU threads, at most 4 per core (default: one per core)' },
} as const satisfies Flags;

const DEVICES = ['auto', 'cpu', ...ACCELERATORS] as const;

/**
 * `auto` is the CPU: the others are faster for some models only, and the CPU is exact.
 * @throws {ArgumentError} for a device that is unknown; {DeviceError} for one that is not available here.
 */
export async function openDevice(values: FlagValues<typeof deviceFlags>): Promise<Device> {
  const name = deviceName(values);
  return name === 'cpu' ? openCpuDevice(values) : openAccelerator(name, deviceOptions(values));
}

/** The device that is asked for. @throws {ArgumentError} for one that is unknown. */
export function deviceName({
  device = 'auto',
}: FlagValues<typeof deviceFlags>): 'cpu' | (typeof ACCELERATORS)[number] {
  const name = choice('device', device, DEVICES);
  return name === 'auto' ? 'cpu' : name;
}

/** Of commands that know no other. @throws {ArgumentError} for another. */
export function openCpuDevice(values: FlagValues<typeof deviceFlags>): Device {
  const name = deviceName(values);
  if (name === 'cpu') return openCpu(deviceOptions(values));
  throw new ArgumentError(`--device ${name} is not available here; this command runs on the cpu`);
}

/** Returns the CPU options of the flags. @throws {ArgumentError} for more than 4 threads per core. */
export function deviceOptions({ threads }: FlagValues<typeof deviceFlags>): DeviceOptions {
  if (threads === undefined) return {};
  const count = wholeNumber('threads', threads);
  requireThreads(count);
  return { threads: count };
}
