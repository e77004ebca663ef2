/** A CPU as if it had a memory of its own, which counts what crosses, and what is alive. */

import type { Device, DeviceTensor } from '../../src/runtime/device.ts';
import { bytesPerElement, elementCount, type Tensor } from '../../src/tensor/tensor.ts';

type Kind = Pick<Device, 'keepsTensors' | 'fusesAttention' | 'takesEmpty'>;

export interface Crossings {
  /** Runs of programs that keep results. */
  runs: number;
  /** Tensors with elements that crossed, in either direction. */
  tensors: number;
  bytes: number;
}

/** @param kind by default a device that can do everything, such as WebGPU */
export function deviceApart(cpu: Device, kind: Partial<Kind> = {}) {
  const crossed: Crossings = { runs: 0, tensors: 0, bytes: 0 };
  const alive = { programs: 0, tensors: 0 };
  /** The largest program that was compiled, in bytes of what is bound. */
  let largest = 0;

  function count({ dtype, shape }: Tensor | DeviceTensor): void {
    const bytes = bytesPerElement(dtype) * elementCount(shape);
    if (bytes === 0) return;
    crossed.tensors++;
    crossed.bytes += bytes;
  }

  /** Counts a tensor as alive until it is disposed of. */
  function watch(kept: DeviceTensor): void {
    const dispose = kept.dispose.bind(kept);
    let disposed = false;
    alive.tensors++;
    Object.assign(kept, {
      dispose() {
        if (!disposed) alive.tensors--;
        disposed = true;
        dispose();
      },
    });
  }

  const device: Device = {
    ...cpu,
    name: 'gpu',
    separateMemory: true,
    keepsTensors: true,
    fusesAttention: true,
    takesEmpty: true,
    ...kind,
    async compileKeeping(graph, bound, names) {
      const program = await cpu.compileKeeping(graph, bound, names);
      const bytes = Object.values(bound).reduce((sum, { data }) => sum + data.byteLength, 0);
      largest = Math.max(largest, bytes);
      alive.programs++;
      return {
        inputNames: program.inputNames,
        async run(feeds, wanted) {
          const results = await program.run(feeds, wanted);
          crossed.runs++;
          for (const feed of Object.values(feeds)) if ('data' in feed || !device.keepsTensors) count(feed);
          for (const output of Object.values(results.outputs)) count(output);
          for (const kept of Object.values(results.kept)) {
            watch(kept);
            if (!device.keepsTensors) count(kept);
          }
          return results;
        },
        async dispose() {
          alive.programs--;
          await program.dispose();
        },
      };
    },
  };

  /** What crosses while something is done. */
  async function crossingsOf(work: () => Promise<unknown>): Promise<Crossings> {
    const before = { ...crossed };
    await work();
    return {
      runs: crossed.runs - before.runs,
      tensors: crossed.tensors - before.tensors,
      bytes: crossed.bytes - before.bytes,
    };
  }

  return { device, crossingsOf, alive, largest: () => largest };
}
