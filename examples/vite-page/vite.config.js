// The bundled model becomes a static file of the page.
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const acdit = dirname(createRequire(import.meta.url).resolve('acdit/package.json'));
cpSync(join(acdit, 'models/fashion-mnist'), 'public/models/fashion-mnist', { recursive: true });

export default {
  worker: { format: 'es' },
  optimizeDeps: { exclude: ['acdit', 'onnxruntime-web'] },
  build: { target: 'es2023' },
  // Threads of WebAssembly need a page that is isolated from others.
  server: {
    headers: {
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cross-Origin-Embedder-Policy': 'require-corp',
    },
  },
};
