/** @file The app: which engine and model, and what is done with them. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import type { ModelCard } from '../engine/engine.ts';
import { createLocalEngine } from '../engine/local.ts';
import type { DeviceChoice } from '../engine/protocol.ts';
import { createRemoteEngine } from '../engine/remote.ts';
import { type AutoencoderCard, autoencoderFor, requireFitting } from '../model/autoencoders.ts';
import { type Keepsake, openGallery } from '../model/gallery.ts';
import { ModelBar } from '../parts/ModelBar.tsx';
import { Compare } from './Compare.tsx';
import { Create } from './Create.tsx';
import { GalleryView } from './GalleryView.tsx';
import { Train } from './Train.tsx';

const TABS = { create: 'Create', compare: 'Compare', train: 'Train' } as const;
type Tab = keyof typeof TABS;

function readDevice(): DeviceChoice {
  const asked = new URLSearchParams(location.search).get('device');
  return asked === 'webgpu' || asked === 'wasm' ? asked : 'auto';
}

function readTab(): Tab {
  const asked = location.hash.slice(1);
  return asked in TABS ? (asked as Tab) : 'create';
}

export function App() {
  const local = useMemo(() => createLocalEngine(readDevice), []);
  const remote = useMemo(() => createRemoteEngine(new URL('.', location.href).href), []);
  const gallery = useMemo(openGallery, []);
  const [tab, setTab] = useState<Tab>(readTab);
  const [models, setModels] = useState<readonly ModelCard[]>([]);
  const [chosen, setChosen] = useState<string>();
  const [autoencoders, setAutoencoders] = useState<readonly AutoencoderCard[]>([]);
  const [problem, setProblem] = useState<string>();
  const [notice, setNotice] = useState('');
  const [kept, setKept] = useState<readonly Keepsake[]>([]);
  const [recalled, setRecalled] = useState<Keepsake>();
  const model = models.find(({ id }) => id === chosen) ?? models[0];
  const autoencoder = useMemo(
    () => model && autoencoderFor(model.config, autoencoders),
    [model, autoencoders],
  );
  const engine = model?.source === 'server' ? remote : local;

  async function refresh(): Promise<void> {
    const here = await local.models();
    setModels(here);
    const there = await remote.models().catch(() => []);
    if (there.length > 0) setModels([...there.map((card) => withPictures(card, here)), ...here]);
  }
  async function add(files: readonly File[]): Promise<void> {
    setProblem(undefined);
    setNotice('');
    try {
      const added = await local.add(files);
      if (added.model) {
        await refresh();
        setChosen(added.model.id);
      }
      if (added.autoencoder) addAutoencoder(added.autoencoder, added.model ?? model);
    } catch (error) {
      setProblem((error as Error).message);
    }
  }
  /** @throws {Error} if it does not decode what is chosen now. */
  function addAutoencoder(card: AutoencoderCard, chosenNow: ModelCard | undefined): void {
    const isForIt = chosenNow?.config.space === 'latents';
    if (chosenNow && isForIt) requireFitting(chosenNow.config, card);
    setAutoencoders((now) => [...now, card]);
    setNotice(
      isForIt
        ? 'The autoencoder is added: pictures are decoded.'
        : 'The autoencoder is added. It decodes models of latents; the model that is chosen makes pixels.',
    );
  }
  const reload = (): Promise<void> =>
    gallery.all().then(setKept, (error: Error) => setProblem(`the gallery cannot be read: ${error.message}`));
  useEffect(() => {
    refresh();
    reload();
    const follow = (): void => setTab(readTab());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);

  return (
    <>
      <header>
        <h1>
          acdit <small>pictures, block by block</small>
        </h1>
        <nav aria-label="Views">
          {Object.entries(TABS).map(([id, name]) => (
            <a key={id} href={`#${id}`} aria-current={id === tab ? 'page' : undefined}>
              {name}
            </a>
          ))}
        </nav>
      </header>
      <main>
        {problem && (
          <p role="alert" class="error banner">
            {problem}
          </p>
        )}
        <p role="status" class="notice">
          {notice}
        </p>
        {tab !== 'train' && model && (
          <ModelBar
            models={models}
            model={model}
            autoencoder={autoencoder}
            onChoose={setChosen}
            onFiles={add}
          />
        )}
        {tab === 'create' && model && (
          <Create
            key={model.id}
            {...{
              engine,
              local,
              autoencoder,
              model,
              recalled: recalled?.order.model === model.id ? recalled : undefined,
            }}
            onKept={(keepsake) =>
              gallery
                .add(keepsake)
                .then(reload, (error: Error) => setProblem(`it cannot be kept: ${error.message}`))
            }
            onDecoded={(keepsake) => {
              if (kept.some(({ id }) => id === keepsake.id)) gallery.add(keepsake).then(reload);
            }}
          />
        )}
        {tab === 'compare' && model && <Compare key={model.id} {...{ engine, local, autoencoder, model }} />}
        {tab === 'train' && <Train local={local} />}
        {tab === 'create' && (
          <GalleryView
            kept={kept}
            onRecall={(keepsake) => {
              setChosen(keepsake.order.model);
              setRecalled({ ...keepsake });
              scrollTo({ top: 0 });
            }}
            onRemove={(id) => gallery.remove(id).then(reload)}
          />
        )}
      </main>
      <footer>
        acdit is under the MIT licence. <a href="./third-party-notices.txt">Third-party notices</a>
      </footer>
    </>
  );
}

/** A server's model with the class pictures of the bundled model of its name. */
function withPictures(card: ModelCard, bundled: readonly ModelCard[]): ModelCard {
  const { classPictures } = bundled.find(({ id }) => card.id.endsWith(`/${id}`)) ?? {};
  return classPictures === undefined ? card : { ...card, classPictures };
}
