/** The web app: static files in `web/dist`, which work under any path. */

import { defineConfig } from 'vite';
import { listFiles, listSharedFiles, noticesPlugins } from './bundle-plugins.ts';

const notices = noticesPlugins();

export default defineConfig({
  root: import.meta.dirname,
  base: './',
  // The runtime's two files are named in src/engine/runtime-files.ts, so its module needs no copy of them inside.
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'] },
  assetsInclude: ['**/*.safetensors'],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  plugins: [notices.page, listSharedFiles, listFiles],
  worker: { format: 'es', plugins: () => [notices.worker] },
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
        // One folder, which the npm package leaves out.
        assetFileNames: ({ originalFileNames: [path = ''] }) =>
          /^\.\.\/models\//.test(path)
            ? 'assets/models/[name]-[hash][extname]'
            : 'assets/[name]-[hash][extname]',
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
