/**
 * @file Weights that a program takes from their file. ONNX Runtime maps the file into memory and packs matrices from there;
 * weights that it gets in memory are copied twice before. Weights that the graph splits by rows are ranges of the file too:
 * to split them while compiling would take two more copies. They have been read once before, so that what is damaged is found
 * and the file is in the system's cache, and they are taken from memory if the file changes meanwhile.
 */

import { at } from '../at.ts';
import { type Bound, type FileTensor, type Graph, graphOf, isExternal } from '../graph/onnx.ts';
import { substituteInGraph } from '../graph/partition.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import type { StoredFile } from '../io/byte-source.ts';
import type { BoundWeights } from './device.ts';

/** A graph whose large weights are in files of one folder. */
export interface StoredGraph {
  readonly graph: Graph;
  readonly bound: Bound;
  readonly folder: string;
  readonly files: readonly StoredFile[];
}

/** Returns a graph with its large weights in their files, if all of them are in files of one folder. */
export function withWeightsInFiles(graph: Graph, bound: BoundWeights): StoredGraph | undefined {
  const large = Object.entries(bound).filter(([, value]) => isExternal(value));
  const places = large.flatMap(([name, { place, ...value }]) => (place ? [{ name, value, place }] : []));
  const files = [...new Set(places.map(({ place }) => place.file))];
  const [folder, ...others] = new Set(files.map((file) => file.folder));
  if (folder === undefined || others.length > 0 || places.length < large.length) return undefined;
  const stored = Object.fromEntries(
    places.map(({ name, value: { dtype, shape, data }, place: { file, offset } }): [string, FileTensor] => [
      name,
      { dtype, shape, file: file.name, offset, length: data.byteLength },
    ]),
  );
  const split = splitRows(graph, stored);
  return { graph: split.graph, bound: { ...bound, ...stored, ...split.parts }, folder, files };
}

/** The graph with what it splits by rows as inputs, and these. */
function splitRows(
  graph: Graph,
  stored: Readonly<Record<string, FileTensor>>,
): { graph: Graph; parts: Record<string, FileTensor> } {
  const parts: Record<string, FileTensor> = {};
  const { outputs } = substituteInGraph(graph, ({ source, shape }) => {
    if (source.kind !== 'node' || source.node.operator !== 'Split') return undefined;
    const { inputs, outputs, attributes } = source.node;
    const whole = storedInput(at(inputs, 0), stored);
    if (!whole || attributes.axis !== 0) return undefined;
    const rowsBefore = outputs.slice(0, source.index).reduce((sum, part) => sum + Number(part.shape[0]), 0);
    const rowBytes = whole.length / at(whole.shape, 0);
    const sizes = shape.map(Number);
    const name = `${whole.name}.${source.index}`;
    parts[name] = {
      ...whole,
      shape: sizes,
      offset: whole.offset + rowsBefore * rowBytes,
      length: at(sizes, 0) * rowBytes,
    };
    return input(name, shape);
  });
  return { graph: graphOf(outputs), parts };
}

function storedInput(
  { source }: SymbolicTensor,
  stored: Readonly<Record<string, FileTensor>>,
): (FileTensor & { readonly name: string }) | undefined {
  const value = source.kind === 'input' ? stored[source.name] : undefined;
  return value && source.kind === 'input' ? { ...value, name: source.name } : undefined;
}
