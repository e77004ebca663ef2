/** @file Describes the processor that a benchmark runs on. */

export { processor } from '../src/runtime/machine.ts';
