/** @file Host tensors, conversions between element types, and random numbers equal to PyTorch's on the CPU. */

export {
  bfloat16ToFloat32,
  type FloatType,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  toFloat32,
} from './convert.ts';
export { Generator, type GeneratorState } from './generator.ts';
export {
  type ArrayOf,
  type DType,
  elementCount,
  float32,
  type Tensor,
  tensor,
  tensorBytes,
  zeros,
} from './tensor.ts';
