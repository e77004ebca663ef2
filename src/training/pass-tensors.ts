/** @file The tensors of a layered pass, reused by every step: fresh memory would cost a page fault per 4 KB. */

import { at, get } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import type { DifferentiatedGraph } from '../graph/partition.ts';
import { inputName, type SymbolicTensor } from '../graph/symbolic.ts';
import { filterKeys, mapValues } from '../records.ts';
import { elementCount, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import type { GradientGraphs, LayerGraphs } from './gradient-graphs.ts';
import type { Named } from './gradient-pass.ts';

/** Tensors by their names in graphs; weights, their gradients and the batch are not among them. */
export interface PassTensors {
  /** Tensors of the graphs of conditions and embedding. */
  readonly embedding: Named;
  /** Tensors of each layer's graphs. */
  readonly layers: readonly Named[];
  /** Tensors of the graph of the loss. */
  readonly loss: Named;
}

/** Allocates the tensors of a pass through `layers` layers. @param recomputed those that are computed again */
export function passTensors(
  graphs: GradientGraphs,
  layers: number,
  recomputed: ReadonlySet<number>,
): PassTensors {
  const condition = zerosLike(get(graphs.conditions.forward.outputs, 'condition'));
  const conditionGradient = zerosLike(condition);
  /** What enters each layer. */
  const entering = Array.from({ length: layers }, () =>
    zerosLike(get(graphs.embed.forward.outputs, 'hidden')),
  );
  const final = zerosLike(get(graphs.lastLayer.after.forward.outputs, 'result'));
  const finalGradient = zerosLike(final);
  /** A layer reads one and fills the other. */
  const first = at(entering, 0);
  const gradients = [zerosLike(first), zerosLike(first)] as const;
  const layerGradient = zerosLike(condition);
  const ownTensors = layerTensors(graphs, recomputed.size > 0);
  return {
    embedding: {
      ...savedTensors(graphs.conditions),
      ...savedTensors(graphs.embed),
      condition,
      hidden: first,
      'd.condition': conditionGradient,
      'd.hidden': gradients[0],
    },
    layers: entering.map((hidden, index) => {
      const last = index === layers - 1;
      return {
        ...ownTensors(last, recomputed.has(index)),
        condition,
        hidden,
        result: last ? final : at(entering, index + 1),
        'd.result': last ? finalGradient : at(gradients, (index + 1) % 2),
        'd.hidden': at(gradients, index % 2),
        'd.condition': layerGradient,
      };
    }),
    loss: {
      hidden: final,
      condition,
      prediction: zerosLike(get(graphs.loss.outputs, 'prediction')),
      'd.hidden': finalGradient,
      'd.condition': conditionGradient,
    },
  };
}

/**
 * Returns a function that allocates what is inside a layer. What only one layer at a time needs is shared by all; the last
 * layer, which has fewer blocks, takes the beginning. Layers that are computed again share everything.
 */
function layerTensors(
  { layer, lastLayer, activation }: GradientGraphs,
  recomputes: boolean,
): (last: boolean, recomputed: boolean) => Named {
  const shapes = layerShapes(layer, activation);
  const lastShapes = layerShapes(lastLayer, activation);
  const shared = allocate(shapes.scratch);
  const sharedKept = recomputes ? allocate(shapes.kept) : {};
  return (last, recomputed) => {
    // The beginning of a tensor's memory as a smaller tensor.
    const scratch = mapValues(last ? lastShapes.scratch : shapes.scratch, (shape, name) =>
      float32(shape, get(shared, name).data.subarray(0, elementCount(shape))),
    );
    const tensors = {
      ...(recomputed ? sharedKept : allocate(last ? lastShapes.kept : shapes.kept)),
      ...scratch,
      // In place: the incoming gradient is a factor of the last product.
      'd.wide': get(scratch, 'd.activated'),
    };
    return { ...tensors, ...pieceViews(last ? lastLayer : layer, tensors) };
  };
}

/** The wide vectors of the feed-forward network, and their gradients. In the graphs, `<name>.N` are pieces of them. */
const WIDE = ['wide', 'activated', 'd.wide', 'd.activated'] as const;

/** Returns the pieces of the wide vectors, which lie one after another. */
function pieceViews({ before }: LayerGraphs, tensors: Named): Named {
  const views: Named = {};
  let start = 0;
  for (const [name, symbol] of Object.entries(before.forward.outputs)) {
    if (wholeName(name) !== 'wide') continue;
    const shape = shapeOf(symbol);
    const end = start + elementCount(shape);
    for (const whole of WIDE) {
      views[name.replace('wide', whole)] = float32(shape, get(tensors, whole).data.subarray(start, end));
    }
    start = end;
  }
  return views;
}

/** Returns the name of the vectors that a name is of a piece of, or the same name. */
function wholeName(name: string): string {
  return name.replace(/^((?:d\.)?(?:wide|activated))\.\d+$/, '$1');
}

/** Shapes of symbols, those of pieces together. */
function joinedShapes(symbols: Graph['outputs']): Record<string, number[]> {
  const joined: Record<string, number[]> = {};
  for (const [name, symbol] of Object.entries(symbols)) {
    const whole = wholeName(name);
    const [pieces, shape] = [joined[whole], shapeOf(symbol)];
    joined[whole] = pieces ? [at(shape, 0), at(pieces, 1) + at(shape, 1)] : shape;
  }
  return joined;
}

/**
 * Shapes of what is inside a layer. Its forward programs leave what is `kept` for its backward programs; what is `scratch`
 * it needs while it runs: other forward results but the last, and what crosses its backward cut.
 */
export function layerShapes({ before, after }: LayerGraphs, activation: DifferentiatedGraph) {
  const { result: _, ...made } = joinedShapes({ ...before.forward.outputs, ...after.forward.outputs });
  const wide = get(made, 'wide');
  const forward = {
    ...made,
    ...mapValues(activation.forward.outputs, () => wide), // its graph is for any number of elements
  };
  const backward = joinedShapes(after.backward.outputs);
  const needed = new Set(
    [before, activation, after].flatMap(({ backward }) => backward.inputs.map(inputName).map(wholeName)),
  );
  return {
    kept: filterKeys(forward, (name) => needed.has(name)),
    scratch: {
      ...filterKeys(forward, (name) => !needed.has(name)),
      ...filterKeys(backward, (name) => /^d\.(activated$|carry\.)/.test(name)),
    },
  };
}

function savedTensors({ saved, forward }: DifferentiatedGraph): Named {
  const outputs = Object.entries(forward.outputs).filter(([, symbol]) => saved.includes(symbol));
  return Object.fromEntries(outputs.map(([name, symbol]) => [name, zerosLike(symbol)]));
}

function shapeOf({ shape }: Pick<SymbolicTensor, 'shape'>): number[] {
  return shape.map(Number);
}

function zerosLike(shaped: Pick<SymbolicTensor, 'shape'>): Tensor<'float32'> {
  return zeros('float32', shapeOf(shaped));
}

function allocate(shapes: Readonly<Record<string, readonly number[]>>): Named {
  return mapValues(shapes, (shape) => zeros('float32', shape));
}
