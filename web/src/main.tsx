/** @file Where the page begins. */

import { render } from 'preact';
import './styles.css';
import { App } from './views/App.tsx';

render(<App />, document.getElementById('app') as HTMLElement);

if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  navigator.serviceWorker.register('./service-worker.js').catch(() => {
    // Without it everything works but offline, and with one thread where the server does not isolate the page.
  });
}
