/** @file The app: the views, and the models, the gallery and the messages that they share. */

import { useEffect, useMemo, useState } from 'preact/hooks';
import { createLocalEngine } from '../engine/local.ts';
import type { DeviceChoice } from '../engine/protocol.ts';
import { createRemoteEngine } from '../engine/remote.ts';
import { canCompare } from '../model/ar-lengths.ts';
import type { GalleryEntry } from '../model/gallery.ts';
import { ModelBar, nameOf } from '../parts/ModelBar.tsx';
import { Compare } from './Compare.tsx';
import { Create } from './Create.tsx';
import { GalleryView } from './GalleryView.tsx';
import { Train } from './Train.tsx';
import { useGallery } from './use-gallery.ts';
import { useModels } from './use-models.ts';

const TABS = { create: 'Create', compare: 'Compare', train: 'Train' } as const;
type Tab = keyof typeof TABS;

export function App() {
  const local = useMemo(() => createLocalEngine(readDevice), []);
  const remote = useMemo(() => createRemoteEngine(new URL('.', location.href).href), []);
  const [problem, setProblem] = useState<string>();
  const { model, models, autoencoder, ...catalogue } = useModels(local, remote, setProblem);
  const gallery = useGallery(setProblem);
  const tab = useTab();
  const offered = tab === 'compare' ? models.filter(canCompare) : models;
  const shown = model && offered.includes(model) ? model : offered[0];
  const maker = shown && {
    engine: shown.source === 'server' ? remote : local,
    local,
    autoencoder: shown === model ? autoencoder : undefined,
    model: shown,
  };

  function recall(entry: GalleryEntry): void {
    catalogue.choose(entry.order.model);
    gallery.recall(entry);
    scrollTo({ top: 0 });
  }

  return (
    <>
      <Header tab={tab} />
      <main>
        {problem && (
          <p role="alert" class="error banner">
            {problem}
          </p>
        )}
        <p role="status" class="notice">
          {catalogue.notice}
        </p>
        {tab !== 'train' && maker && (
          <ModelBar {...maker} models={offered} onChoose={catalogue.choose} onFiles={catalogue.add} />
        )}
        {offered.length < models.length && (
          <p class="hint">
            Not offered here:{' '}
            {models
              .filter((other) => !offered.includes(other))
              .map(nameOf)
              .join(', ')}
            . A server divides images only as its models were trained.
          </p>
        )}
        {tab === 'create' && maker && <Create key={maker.model.id} {...maker} gallery={gallery} />}
        {tab === 'compare' && maker && <Compare key={maker.model.id} {...maker} />}
        {tab === 'train' && <Train local={local} />}
        {tab === 'create' && (
          <GalleryView entries={gallery.entries} onRecall={recall} onRemove={gallery.remove} />
        )}
      </main>
      <footer>
        acdit is under the MIT licence. <a href="./third-party-notices.txt">Third-party notices</a>
      </footer>
    </>
  );
}

function Header({ tab }: { readonly tab: Tab }) {
  return (
    <header>
      <h1>
        acdit <small>images, block by block</small>
      </h1>
      <nav aria-label="Views">
        {Object.entries(TABS).map(([id, name]) => (
          <a key={id} href={`#${id}`} aria-current={id === tab ? 'page' : undefined}>
            {name}
          </a>
        ))}
      </nav>
    </header>
  );
}

/** The view that the address names. */
function useTab(): Tab {
  const [tab, setTab] = useState<Tab>(readTab);
  useEffect(() => {
    const follow = (): void => setTab(readTab());
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return tab;
}

function readTab(): Tab {
  const name = location.hash.slice(1);
  return name in TABS ? (name as Tab) : 'create';
}

function readDevice(): DeviceChoice {
  const name = new URLSearchParams(location.search).get('device');
  return name === 'webgpu' || name === 'wasm' ? name : 'auto';
}
