import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    // `npm test` leaves these out, `npm run test:all` and .ci/run do not.
    tags: [
      { name: 'slow', description: 'takes ten seconds or more, alone or with the other tests of its file' },
    ],
    // ONNX Runtime aborts when a worker thread that used it ends early: one process per file instead.
    pool: 'forks',
    // On two cores too, one file's tests compute while the next one is loaded.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // No test may reach the network, nor a cache outside the repository.
    env: { HF_ENDPOINT: 'http://127.0.0.1:1', HF_HOME: 'no-such-folder', XDG_CACHE_HOME: '/dev/null' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
