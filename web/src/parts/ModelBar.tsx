/** @file Choosing a model, or bringing one: by dropping its files anywhere, or by picking them. */

import { useEffect, useState } from 'preact/hooks';
import type { ModelCard } from '../engine/engine.ts';
import { droppedFiles } from '../model/files.ts';

interface ModelBarProps {
  readonly models: readonly ModelCard[];
  readonly model: ModelCard;
  onChoose(id: string): void;
  onFiles(files: readonly File[]): void;
}

export function ModelBar({ models, model, onChoose, onFiles }: ModelBarProps) {
  const over = useDrop(onFiles);
  const { config } = model;
  const size = config.space === 'latents' ? 8 : 1;
  return (
    <div class={`model-bar ${over ? 'over' : ''}`}>
      <label class="field">
        <span>Model</span>
        <select value={model.id} onChange={(event) => onChoose(event.currentTarget.value)}>
          {models.map(({ id, title, source }) => (
            <option key={id} value={id}>
              {title} ({source === 'server' ? 'on the server' : source})
            </option>
          ))}
        </select>
      </label>
      <p class="hint">
        {config.width * size} × {config.height * size}
        {config.frames > 1 && `, ${config.frames} frames`}, {config.classes} classes, {config.blocks} blocks
      </p>
      <label class="button">
        Your own model …
        <input
          type="file"
          multiple
          accept=".safetensors,.json,.pt,.pth,.bin"
          onChange={({ currentTarget }) => {
            const files = [...(currentTarget.files ?? [])];
            if (files.length > 0) onFiles(files);
            currentTarget.value = '';
          }}
        />
      </label>
      {over && <p class="drop-hint">Drop a model folder, its files, or a .pt</p>}
    </div>
  );
}

/** Takes what is dropped anywhere on the page. */
function useDrop(onFiles: (files: readonly File[]) => void): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const enter = (event: DragEvent): void => {
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = async (event: DragEvent): Promise<void> => {
      event.preventDefault();
      setOver(false);
      if (event.dataTransfer) onFiles(await droppedFiles(event.dataTransfer));
    };
    addEventListener('dragover', enter);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragover', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, [onFiles]);
  return over;
}
