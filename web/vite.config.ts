/** The web app: static files in `web/dist`, which work under any path. */

import { defineConfig, type Plugin } from 'vite';

/** Lists all files in `files.json`, so that the service worker knows what of its cache is of an earlier version. */
const listFiles: Plugin = {
  name: 'list-files',
  generateBundle(_, bundle) {
    this.emitFile({ type: 'asset', fileName: 'files.json', source: JSON.stringify(Object.keys(bundle)) });
  },
};

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  // The runtime's two files are named in src/engine/runtime-files.ts, so its module needs no copy of them inside.
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'] },
  assetsInclude: ['**/*.safetensors'],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [listFiles],
  worker: { format: 'es' },
  build: {
    target: 'es2023',
    emptyOutDir: true,
    // Weights and runtimes are files, never text in a script.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 2000,
    rolldownOptions: {
      input: { index: 'web/index.html', 'service-worker': 'web/src/service-worker.ts' },
      output: {
        entryFileNames: ({ name }) =>
          name === 'service-worker' ? 'service-worker.js' : 'assets/[name]-[hash].js',
      },
    },
  },
  server: {
    headers: {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    },
    fs: { allow: ['..'] },
  },
});
