/** @file Flags that choose what to compute on, shared by the commands that compute. */

import type { Device } from '../runtime/device.ts';
import { ACCELERATORS, openAccelerator, openCpu, requireThreads } from '../runtime/node.ts';
import { deviceKind, PRECISIONS, type Precision, requirePrecision } from '../sampling/precision.ts';
import { choiceFlag, type Flags, type FlagValues, wholeNumber } from './flags.ts';

const DEVICES = ['auto', 'cpu', ...ACCELERATORS] as const;

export const deviceFlags = {
  device: choiceFlag(DEVICES, 'cpu (auto is the same), or for a GPU webgpu, cuda, coreml or dml', {
    default: 'auto',
  }),
  threads: {
    value: 'N',
    parse: (text: string, flag: string): number => {
      const count = wholeNumber()(text, flag);
      requireThreads(count);
      return count;
    },
    help: 'CPU threads, at most 4 per core (default: one per core)',
  },
} as const satisfies Flags;

/** The flag of the commands that sample. */
export const precisionFlag = choiceFlag(
  PRECISIONS,
  'fp32, int8 on CPUs (faster on most), or fp16 on GPUs; samples differ a little (default: as MODEL is stored)',
);

type DeviceValues = FlagValues<typeof deviceFlags>;

/**
 * Opens the chosen device. `auto` is the CPU: the others are faster for some models only, and the CPU is exact.
 * @throws {DeviceError} if it is not available here; {ArgumentError} if it does not compute in the precision.
 */
export async function openDevice({
  precision,
  ...values
}: DeviceValues & { readonly precision?: Precision | undefined }): Promise<Device> {
  const name = deviceName(values);
  requirePrecision(deviceKind(name), precision);
  return name === 'cpu' ? openCpu(values) : openAccelerator(name, values);
}

/** Trains on the chosen device; the optimizer works on the CPU, which has the weights, if the device has memory of its own. */
export async function withTrainingDevices<T>(
  values: DeviceValues,
  use: (devices: { readonly device: Device; readonly optimizerDevice: Device }) => Promise<T>,
): Promise<T> {
  const device = await openDevice(values);
  const optimizerDevice = device.separateMemory ? openCpu(values) : device;
  try {
    return await use({ device, optimizerDevice });
  } finally {
    await optimizerDevice.dispose();
    await device.dispose();
  }
}

/** Returns the chosen device. */
export function deviceName({ device }: Pick<DeviceValues, 'device'>): 'cpu' | (typeof ACCELERATORS)[number] {
  return device === 'auto' ? 'cpu' : device;
}
