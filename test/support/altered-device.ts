/** @file Devices that compute wrongly. */

import type { Device, Feeds } from '../../src/runtime/device.ts';

/** Weights of a model's layers in float32, in half floats, and in 8 bits, by their names in programs. */
export const LAYERS = /^blocks\.\d+\..*weight(\.\d)?$/;
export const HALVES = /^blocks.*\.half$/;
export const BYTES = /\.int8$/;

/** A device whose programs give other values, if they were compiled with weights of such names. */
export function altered(device: Device, weights: RegExp, alter: (value: number) => number): Device {
  return alteredWhere(device, (bound) => Object.keys(bound).some((name) => weights.test(name)), alter);
}

/**
 * A device on which products of 8-bit weights overflow, as on processors that add two of them in 16 bits: its models have
 * weights of 7 bits. Only the product that finds this out is altered.
 */
export function withSevenBits(device: Device): Device {
  const isProbe = ({ values }: Feeds): boolean => values?.dtype === 'int8' && Number(values.data[0]) > 63;
  return alteredWhere(device, isProbe, (value) => value / 2);
}

function alteredWhere(
  device: Device,
  isAltered: (bound: Feeds) => boolean,
  alter: (value: number) => number,
): Device {
  return {
    ...device,
    async compile(graph, bound = {}) {
      const program = await device.compile(graph, bound);
      if (!isAltered(bound)) return program;
      return {
        ...program,
        async run(feeds, into) {
          const outputs = await program.run(feeds, into);
          for (const { data } of Object.values(outputs)) {
            for (let i = 0; i < data.length; i++) data[i] = alter(Number(data[i]));
          }
          return outputs;
        },
      };
    },
  };
}
