/**
 * @file Programs as data: symbolic tensors, operators that know their shapes and gradients, reverse-mode
 * differentiation, cutting a program into forward and backward parts, and ONNX bytes.
 */

export { backpropagate, gradientsOf, type Seed } from './gradient.ts';
export { type Bound, encodeOnnx, type FileTensor, type Graph, graphOf } from './onnx.ts';
export * from './operators/index.ts';
export { cutAt, type DifferentiatedGraph, differentiate } from './partition.ts';
export {
  type Attribute,
  apply,
  applyOne,
  constant,
  type Dim,
  type GradientRule,
  input,
  integers,
  type Node,
  type NodeSpec,
  type OutputSpec,
  type Shape,
  type SingleSpec,
  type Source,
  type SymbolicTensor,
  type SymbolType,
  scalar,
  topologicalOrder,
} from './symbolic.ts';
