/** @file Training a small model in the page: its loss, and what it can draw so far. */

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import { Generator } from '../../../src/tensor/generator.ts';
import type { LocalEngine } from '../engine/local.ts';
import type { Frame } from '../model/frame.ts';
import { paintFrames } from '../model/painting.ts';
import { cutBlocks } from '../model/run.ts';
import { SHAPE_SIDE, SHAPES, shapesDataset } from '../model/shapes.ts';
import { FrameCanvas } from '../parts/FrameCanvas.tsx';
import { NumberField } from '../parts/fields.tsx';
import { WorkForm } from '../parts/forms.tsx';
import { LossChart } from '../parts/LossChart.tsx';

const IMAGES = 400;
/** Some minutes of two cores; a multiple of `SAMPLE_EVERY`, so that the last samples are drawn at the end. */
const STEPS = 2400;
const SAMPLE_EVERY = 150;
/** Training images that are shown. */
const SHOWN = 16;

interface Samples {
  readonly step: number;
  readonly frames: readonly Frame[];
}

export function Train({ local }: { readonly local: LocalEngine }) {
  const [steps, setSteps] = useState(STEPS);
  const { losses, samples, status, busy, begin, stop } = useTraining(local);
  return (
    <div class="train">
      <WorkForm
        label="Training"
        start="Train"
        busy={busy}
        status={status}
        onStart={() => begin(steps)}
        onStop={stop}
      >
        <h2>What it learns from</h2>
        <p class="hint">
          {IMAGES} images of {SHAPES.length} kinds of shapes, drawn in this page. The trainer is the one that
          trains the large models; nothing leaves this browser. Shapes arise after some 1,000 steps.
        </p>
        <Examples />
        <NumberField label="Steps" value={steps} min={10} max={5000} onChange={setSteps} />
      </WorkForm>
      <section aria-label="Loss">
        <h2>Loss</h2>
        <LossChart losses={losses} steps={steps} />
      </section>
      <section class="samples" aria-label="Samples">
        <h2>What it can draw</h2>
        <p class="hint">
          {samples ? `After ${samples.step} steps.` : `Samples every ${SAMPLE_EVERY} steps.`}
        </p>
        {SHAPES.map((name, row) => (
          <div class="sample-row" key={name}>
            <span>{name}</span>
            {rowOf(samples, row).map((frame, index) => (
              <FrameCanvas key={index} frames={[frame]} label={`${name} ${index + 1}`} />
            ))}
          </div>
        ))}
      </section>
    </div>
  );
}

/** A training that is started and stopped, and what came of it so far. */
function useTraining(local: LocalEngine) {
  const [losses, setLosses] = useState<readonly number[]>([]);
  const [samples, setSamples] = useState<Samples>();
  const [status, setStatus] = useState('Ready.');
  const [busy, setBusy] = useState(false);
  const controller = useRef<AbortController>(undefined);
  const stop = (): void => controller.current?.abort();
  useEffect(() => stop, []);

  async function follow(steps: number, signal: AbortSignal): Promise<void> {
    let config: AcditConfig | undefined;
    const call = { images: IMAGES, steps, seed: 1, sampleEvery: Math.min(SAMPLE_EVERY, steps) };
    for await (const event of local.train(call, signal)) {
      if (event.kind === 'started') {
        config = event.config;
        setStatus(`Training ${event.parameters.toLocaleString('en')} parameters (${event.device}) …`);
      } else if (event.kind === 'step') setLosses((now) => [...now, event.loss]);
      else if (config) setSamples({ step: event.step, frames: sampleFrames(config, event.values) });
    }
  }

  async function begin(steps: number): Promise<void> {
    controller.current = new AbortController();
    const { signal } = controller.current;
    setBusy(true);
    setLosses([]);
    setSamples(undefined);
    setStatus('Getting ready …');
    await follow(steps, signal).then(
      () => setStatus('Trained.'),
      (error: Error) => setStatus(signal.aborted ? 'Stopped.' : error.message),
    );
    setBusy(false);
  }

  return { losses, samples, status, busy, begin, stop };
}

function rowOf(samples: Samples | undefined, row: number): readonly Frame[] {
  if (!samples) return [];
  const each = samples.frames.length / SHAPES.length;
  return samples.frames.slice(row * each, (row + 1) * each);
}

/** Returns a frame per sample, from values (N, T, B, C). */
function sampleFrames(config: AcditConfig, values: Float32Array): Frame[] {
  const blocks = cutBlocks(config, values);
  return Array.from({ length: blocks.length / config.blocks }, (_, n) =>
    paintFrames(config, blocks.slice(n * config.blocks, (n + 1) * config.blocks)),
  ).flat();
}

function Examples() {
  const [frames, setFrames] = useState<readonly Frame[]>([]);
  const dataset = useMemo(() => shapesDataset(SHOWN, 1), []);
  useEffect(() => {
    const indices = Array.from({ length: SHOWN }, (_, index) => index);
    Promise.all(indices.map((index) => dataset.read(index, Generator.seeded(0)))).then((all) =>
      setFrames(all.flatMap((sample) => (sample ? [greyFrame(sample.values)] : []))),
    );
  }, []);
  return (
    <div class="examples" role="img" aria-label="Examples of the images">
      {frames.map((frame, index) => (
        <FrameCanvas key={index} frames={[frame]} label="" />
      ))}
    </div>
  );
}

function greyFrame(values: Float32Array): Frame {
  const data = new Uint8ClampedArray(values.length * 4);
  for (const [i, value] of values.entries()) data.fill((value + 1) * 127.5, 4 * i, 4 * i + 3);
  for (let i = 3; i < data.length; i += 4) data[i] = 255;
  return { width: SHAPE_SIDE, height: SHAPE_SIDE, data };
}
