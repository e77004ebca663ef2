/** @file What a device is to the rest of the package. `acdit/runtime/node` opens one. */

export type { Device, Feeds, Program } from './device.ts';
