/** @file How far a run is, in words and as a bar. */

import { attentionOf } from '../../../src/models/acdit/attention.ts';
import { currentBlock, type Run, shareDone } from '../model/run.ts';

interface StatusProps {
  readonly run: Run | undefined;
  /** A sentence to add. */
  readonly note?: string;
}

export function Status({ run, note = '' }: StatusProps) {
  return (
    <div class="status">
      <progress aria-label="Progress" max={1} value={run ? shareDone(run) : 0} />
      <p role={run?.status === 'failed' ? 'alert' : 'status'} class={run?.status === 'failed' ? 'error' : ''}>
        {textOf(run)}
        {note && ` ${note}`}
      </p>
    </div>
  );
}

/** Counts blocks, not steps, so that a screen reader is not kept talking. */
function textOf(run: Run | undefined): string {
  if (!run) return 'Ready.';
  const { blocks, config, status, device, seconds } = run;
  const at = currentBlock(run);
  switch (status) {
    case 'waiting':
      return 'Loading the model …';
    case 'running':
      if (attentionOf(config).together) return `All ${blocks.length} blocks at once … (${device})`;
      return `Block ${Math.min(at + 1, blocks.length)} of ${blocks.length} … (${device})`;
    case 'done':
      return seconds === undefined ? 'From the gallery.' : `Done in ${seconds.toFixed(1)} s (${device}).`;
    case 'stopped':
      return `Stopped after ${at} of ${blocks.length} blocks.`;
    case 'failed':
      return run.error ?? 'It failed.';
  }
}
