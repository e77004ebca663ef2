/** @file What the rest of the package sees of a device: compile graphs, run them, let go of them. */

import type { Graph } from '../graph/onnx.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Tensors by the names of a graph's inputs or outputs. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** A compiled graph. */
export interface Program {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Run once. Tensors given in `into` are filled in place and returned; other outputs are new.
   * @throws {DeviceError} if a feed is missing, unknown, or of the wrong shape.
   */
  run(feeds: Feeds, into?: Feeds): Promise<Record<string, Tensor>>;
  /** Give back its memory. */
  dispose(): Promise<void>;
}

/** What runs programs. */
export interface Device {
  readonly name: string;
  readonly threads: number;
  /** Whether tensors are copied to a memory of its own, and back, in every run. */
  readonly separateMemory: boolean;
  /**
   * Make a program of a graph.
   * @param bound values for some of the graph's inputs, which become part of the program. The device keeps a copy of
   * its own, arranged as its kernels like best, so the caller need not keep them.
   */
  compile(graph: Graph, bound?: Feeds): Promise<Program>;
  /** Opens the CPU next to a device with separate memory: it checks what that computes, and replaces it if it is wrong. */
  host?(): Promise<Device>;
  /** Frees every program compiled here. */
  dispose(): Promise<void>;
}
