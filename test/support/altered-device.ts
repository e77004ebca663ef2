/** @file Devices that compute wrongly. */

import type { Device, Feeds } from '../../src/runtime/device.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Weights of a model's layers in float32, in half floats, and in 8 bits, by their names in programs. */
export const LAYERS = /^blocks\.\d+\..*weight(\.\d)?$/;
export const HALVES = /^blocks.*\.half$/;
export const BYTES = /\.int8$/;

type Alter = (value: number) => number;

/** A device whose programs give other values, if they were compiled with weights of such names. */
export function altered(device: Device, weights: RegExp, alter: Alter): Device {
  return withResults(
    device,
    (_, bound) => Object.keys(bound).some((name) => weights.test(name)),
    (values) => values.map(alter),
  );
}

/**
 * A device on which products of 8-bit weights overflow, as on processors that add two of them in 16 bits: its models have
 * weights of 7 bits. Only the product that finds this out is altered.
 */
export function withSevenBits(device: Device): Device {
  return withResults(
    device,
    (_, { values }) => values?.dtype === 'int8' && Number(values.data[0]) > 63,
    (results) => results.map((value) => value / 2),
  );
}

/**
 * A device that changes what some programs give to the host.
 * @param isChanged whether a program's results are, by the names of its inputs and by what is bound
 */
export function withResults(
  device: Device,
  isChanged: (inputs: readonly string[], bound: Feeds) => boolean,
  change: (values: Float32Array) => Float32Array,
): Device {
  const changeAll = (outputs: Readonly<Record<string, Tensor>>): void => {
    for (const { data } of Object.values(outputs)) (data as Float32Array).set(change(data as Float32Array));
  };
  return {
    ...device,
    async compile(graph, bound = {}) {
      const program = await device.compile(graph, bound);
      if (!isChanged(program.inputNames, bound)) return program;
      return {
        ...program,
        async run(feeds, into) {
          const outputs = await program.run(feeds, into);
          changeAll(outputs);
          return outputs;
        },
      };
    },
    async compileKeeping(graph, bound, kept) {
      const program = await device.compileKeeping(graph, bound, kept);
      if (!isChanged(program.inputNames, bound)) return program;
      return {
        ...program,
        async run(feeds, wanted) {
          const results = await program.run(feeds, wanted);
          changeAll(results.outputs);
          return results;
        },
      };
    },
  };
}
