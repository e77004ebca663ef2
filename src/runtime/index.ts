/** @file What a device is to the rest of the package. `acdit/runtime/node` opens one. */

export type {
  BoundTensor,
  BoundWeights,
  Device,
  DeviceTensor,
  Feeds,
  KeepingProgram,
  Program,
  Results,
} from './device.ts';
