/** @file What the rest of the package sees of a device: compile graphs, run them, let go of them. */

import type { Graph } from '../graph/onnx.ts';
import type { FilePlace } from '../io/byte-source.ts';
import type { DType, Tensor } from '../tensor/tensor.ts';

/** Tensors by the names of a graph's inputs or outputs. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** A tensor that becomes part of a program. */
export type BoundTensor<D extends DType = DType> = Tensor<D> & {
  /** Where the same values are on disk: a program may take them from there, which copies less. */
  readonly place?: FilePlace;
};

/** Values for some of a graph's inputs, by name. */
export type BoundWeights = Readonly<Record<string, BoundTensor>>;

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

/** A result that stays where it was computed, to be the input of later runs. It holds memory until it is disposed of. */
export interface DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Give back its memory; nothing happens the second time. */
  dispose(): void;
}

/** What a run made: outputs on the host, and those that the program keeps. */
export interface Results {
  readonly outputs: Record<string, Tensor>;
  readonly kept: Record<string, DeviceTensor>;
}

/** A compiled graph some of whose outputs stay on the device. */
export interface KeepingProgram extends Pick<Program, 'inputNames' | 'dispose'> {
  /**
   * Run once. Results belong to the caller, who disposes of what is kept.
   * @param wanted names of the outputs to return
   * @throws {DeviceError} if a feed is missing, unknown, disposed of, or of the wrong shape.
   */
  run(feeds: Readonly<Record<string, Tensor | DeviceTensor>>, wanted: readonly string[]): Promise<Results>;
}

/** What runs programs. */
export interface Device {
  readonly name: string;
  readonly threads: number;
  /** Whether tensors of the host are copied to a memory of its own, and back, in every run. */
  readonly separateMemory: boolean;
  /** Whether results can stay in that memory. Elsewhere what a program keeps is on the host, and crosses in each run. */
  readonly keepsTensors: boolean;
  /** Whether it has a kernel for attention as a whole. */
  readonly fusesAttention: boolean;
  /** Whether programs take tensors without elements, such as an empty cache. */
  readonly takesEmpty: boolean;
  /**
   * Make a program of a graph.
   * @param bound values for some of the graph's inputs, which become part of the program. The device keeps a copy of
   * its own, arranged as its kernels like best, so the caller need not keep them.
   */
  compile(graph: Graph, bound?: BoundWeights): Promise<Program>;
  /**
   * Make a program that keeps some of its outputs. Where results stay in a memory of the device, it is refused if an
   * operator would run on the CPU.
   * @param kept names of these outputs
   */
  compileKeeping(graph: Graph, bound: Feeds, kept: readonly string[]): Promise<KeepingProgram>;
  /** Opens the CPU next to a device with separate memory: it checks what that computes, and replaces it if it is wrong. */
  host?(): Promise<Device>;
  /** Frees every program compiled here. */
  dispose(): Promise<void>;
}
