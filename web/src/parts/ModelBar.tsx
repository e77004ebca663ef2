/** @file Chooses a model, or adds one: by dropping its files anywhere on the page, or by picking them. */

import { useEffect, useState } from 'preact/hooks';
import { PAPER_DOWNSAMPLING } from '../../../src/models/acdit/config.ts';
import type { ModelCard } from '../engine/engine.ts';
import type { AutoencoderCard } from '../model/autoencoders.ts';
import { droppedFiles } from '../model/files.ts';

interface ModelBarProps {
  readonly models: readonly ModelCard[];
  readonly model: ModelCard;
  /** What decodes its latents, if one was added that fits.  */
  readonly autoencoder: AutoencoderCard | undefined;
  onChoose(id: string): void;
  onFiles(files: readonly File[]): void;
}

export function ModelBar({ models, model, autoencoder, onChoose, onFiles }: ModelBarProps) {
  const over = useDrop(onFiles);
  const { config } = model;
  const size = config.space === 'latents' ? (config.downsampling ?? PAPER_DOWNSAMPLING) : 1;
  return (
    <div class={`model-bar ${over ? 'over' : ''}`}>
      <label class="field">
        <span>Model</span>
        <select value={model.id} onChange={(event) => onChoose(event.currentTarget.value)}>
          {models.map((card) => (
            <option key={card.id} value={card.id}>
              {nameOf(card)}
            </option>
          ))}
        </select>
      </label>
      <p class="hint">
        {config.width * size} × {config.height * size}
        {config.frames > 1 && `, ${config.frames} frames`}, {config.classes} classes, {config.blocks} blocks
      </p>
      <FilesButton name="Your own model …" accept=".safetensors,.json,.pt,.pth,.bin" onFiles={onFiles} />
      {config.space === 'latents' && (
        <>
          <FilesButton name="Autoencoder …" accept=".safetensors,.json,.bin" onFiles={onFiles} />
          <p class="hint autoencoder">
            {autoencoder
              ? `Its latents are decoded by the autoencoder ${autoencoder.title}.`
              : 'This model makes latents; their first channels are shown. To see images, drop the folder of its ' +
                'autoencoder, or choose config.json and diffusion_pytorch_model.safetensors.'}
          </p>
        </>
      )}
      {over && <p class="drop-hint">Drop the folder of a model or an autoencoder, its files, or a .pt</p>}
    </div>
  );
}

/** Names a model and where it comes from. */
export function nameOf({ title, source }: ModelCard): string {
  return `${title} (${source === 'server' ? 'on the server' : source})`;
}

interface FilesButtonProps {
  readonly name: string;
  readonly accept: string;
  onFiles(files: readonly File[]): void;
}

function FilesButton({ name, accept, onFiles }: FilesButtonProps) {
  return (
    <label class="button">
      {name}
      <input
        type="file"
        multiple
        accept={accept}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          if (files.length > 0) onFiles(files);
          currentTarget.value = '';
        }}
      />
    </label>
  );
}

/** Takes files dropped anywhere on the page. Returns whether some are being dragged over it. */
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
