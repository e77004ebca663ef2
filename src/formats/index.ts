/** @file Files of tensors: npy and npz, safetensors, and PyTorch checkpoints, read without running their code. */

export { encodeNpy, parseNpy } from './npy.ts';
export type { NpyStream } from './npy-stream.ts';
export { encodeNpz, type Npz, openNpz } from './npz.ts';
export { encodeSafetensors, openSafetensors, type SafetensorsArchive } from './safetensors.ts';
export { writeSafetensors } from './safetensors-writer.ts';
export type { LazyTensor, Metadata, Named, TensorArchive, TensorInfo } from './tensor-archive.ts';
export {
  isTorchTensor,
  openTorchCheckpoint,
  stateDict,
  type TorchCheckpoint,
  type TorchNamespace,
  type TorchOpaque,
  type TorchTensor,
  type TorchValue,
} from './torch/checkpoint.ts';
export type { PickleValue } from './torch/pickle.ts';
export { type TorchInput, type TorchObject, writeTorchCheckpoint } from './torch/writer.ts';
