/**
 * @file Writing a model as an ONNX program for other runtimes than ours: `NAME.onnx`, and next to it `NAME.onnx.data`
 * with the weights. That is a safetensors file: ONNX only needs to know where each weight's bytes are.
 */

import { basename } from 'node:path';
import { byteCount, fileOffsets, inFileOrder } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { encodeOnnx, type FileTensor } from '../graph/onnx.ts';
import { inputName, type SymbolicTensor } from '../graph/symbolic.ts';
import { writeFileAtomically } from '../io/atomic-write.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { exportGraph } from '../models/acdit/export-graph.ts';
import { isWeight, stackedPart, storedName } from '../models/acdit/weights.ts';
import { type StoredWeights, storedAs } from './save.ts';

/** The file with a program's weights. */
export function onnxDataPath(path: string): string {
  return `${path}.data`;
}

/**
 * Writes the graph of the whole network (`exportGraph`) with its weights in float32, one tensor at a time. The program is put
 * in place last, so if it exists, its weights are complete.
 * @throws {AcditError} if a file cannot be written.
 */
export async function saveOnnx(
  path: string,
  config: AcditConfig,
  weights: StoredWeights,
  signal?: AbortSignal,
): Promise<void> {
  const stored = inFileOrder(storedAs(weights, 'float32'));
  const metadata = { format: 'pt', config: JSON.stringify(config) };
  const offsets = fileOffsets(stored, metadata);
  const dataPath = onnxDataPath(path);
  const graph = exportGraph(config);
  const weightInputs = graph.inputs.filter((symbol) => isWeight(inputName(symbol)));
  const bound = Object.fromEntries(
    weightInputs.map((weight) => [inputName(weight), placeOf(weight, offsets, basename(dataPath))]),
  );
  await writeFileAtomically(path, async (write) => {
    await write(encodeOnnx(graph, bound));
    await writeSafetensors(dataPath, stored, metadata, signal);
  });
}

/** Where a weight's bytes are: a stored tensor's, or an equal part of those of the stacked `attn.qkv`. */
function placeOf(weight: SymbolicTensor, offsets: ReadonlyMap<string, number>, file: string): FileTensor {
  const shape = weight.shape.map(Number);
  const length = byteCount({ dtype: 'float32', shape });
  const name = inputName(weight);
  const offset = offsets.get(storedName(name))! + (stackedPart(name) ?? 0) * length;
  return { dtype: 'float32', shape, file, offset, length };
}
