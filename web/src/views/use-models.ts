/** @file The models to choose from, and the models and autoencoders that the user adds. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Engine, ModelCard } from '../engine/engine.ts';
import type { LocalEngine } from '../engine/local.ts';
import { type AutoencoderCard, autoencoderFor, requireFitting } from '../model/autoencoders.ts';

export interface ModelCatalogue {
  readonly models: readonly ModelCard[];
  /** The chosen model; undefined until the models are listed. */
  readonly model: ModelCard | undefined;
  /** What decodes its latents, if an autoencoder was added that fits. */
  readonly autoencoder: AutoencoderCard | undefined;
  /** What the last files turned out to be. */
  readonly notice: string;
  choose(id: string): void;
  add(files: readonly File[]): Promise<void>;
}

/** @param setProblem shows a message, or none. */
export function useModels(
  local: LocalEngine,
  remote: Engine,
  setProblem: (problem: string | undefined) => void,
): ModelCatalogue {
  const [models, setModels] = useState<readonly ModelCard[]>([]);
  const [chosen, choose] = useState<string>();
  const [autoencoders, setAutoencoders] = useState<readonly AutoencoderCard[]>([]);
  const [notice, setNotice] = useState('');
  const model = models.find(({ id }) => id === chosen) ?? models[0];
  const autoencoder = useMemo(
    () => model && autoencoderFor(model.config, autoencoders),
    [model, autoencoders],
  );

  async function refresh(): Promise<void> {
    const own = await local.models();
    setModels(own);
    const served = await remote.models().catch(() => []);
    if (served.length > 0) setModels([...served.map((card) => withClassImages(card, own)), ...own]);
  }

  /** @throws {Error} if it does not decode the model that is chosen now. */
  function addAutoencoder(card: AutoencoderCard, current: ModelCard | undefined): void {
    const decodesLatents = current?.config.space === 'latents';
    if (current && decodesLatents) requireFitting(current.config, card);
    setAutoencoders((now) => [...now, card]);
    setNotice(
      decodesLatents
        ? 'The autoencoder is added: images are decoded.'
        : 'The autoencoder is added. It decodes models of latents; the chosen model makes pixels.',
    );
  }

  async function add(files: readonly File[]): Promise<void> {
    setProblem(undefined);
    setNotice('');
    try {
      const added = await local.add(files);
      if (added.model) {
        await refresh();
        choose(added.model.id);
      }
      if (added.autoencoder) addAutoencoder(added.autoencoder, added.model ?? model);
    } catch (error) {
      setProblem((error as Error).message);
    }
  }

  useEffect(() => void refresh(), []);
  return { models, model, autoencoder, notice, choose, add };
}

/** Adds the class images of the bundled model of the same name to a server's model. */
function withClassImages(card: ModelCard, bundled: readonly ModelCard[]): ModelCard {
  const { classImages } = bundled.find(({ id }) => card.id.endsWith(`/${id}`)) ?? {};
  return classImages === undefined ? card : { ...card, classImages };
}
